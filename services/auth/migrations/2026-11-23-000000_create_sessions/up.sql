CREATE TABLE sessions (
    -- The jti claim of the token, a UUID of version 7.
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    -- Seconds since the Unix epoch, as in the token.
    expires_at INTEGER NOT NULL,
    -- Seconds since the Unix epoch. Null while the session is open.
    revoked_at INTEGER
) STRICT;

-- For the removal of expired sessions.
CREATE INDEX sessions_expires_at ON sessions (expires_at);
