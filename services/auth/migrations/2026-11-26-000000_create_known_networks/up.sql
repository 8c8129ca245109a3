-- The networks that each account was signed in to from, so that a stranger's wrong passwords do
-- not keep its owner out.
CREATE TABLE known_networks (
    -- HMAC-SHA-256 of the account's email and the network, by the secret of the tokens: the table
    -- names neither.
    id TEXT PRIMARY KEY NOT NULL,
    -- The same of the email alone.
    account TEXT NOT NULL,
    -- The last sign-in, in seconds since the Unix epoch.
    last_at INTEGER NOT NULL
) STRICT;

-- For the oldest networks of an account.
CREATE INDEX known_networks_account ON known_networks (account, last_at);

-- For the removal of networks that were not used for long.
CREATE INDEX known_networks_last_at ON known_networks (last_at);
