CREATE TABLE users (
    -- UUID, version 7.
    id TEXT PRIMARY KEY NOT NULL,
    -- Trimmed and lower case.
    email TEXT NOT NULL,
    -- Argon2id as a PHC string.
    password_hash TEXT NOT NULL,
    -- Microseconds since the Unix epoch.
    created_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX users_email ON users (email);
