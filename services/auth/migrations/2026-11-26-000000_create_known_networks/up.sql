-- The networks of the successful sign-ins to each account. They have their own limits, so that
-- wrong passwords from other networks do not lock out the owner.
CREATE TABLE known_networks (
    -- HMAC-SHA-256 of the account's email and the network, with the secret of the tokens. So the
    -- table reveals neither.
    id TEXT PRIMARY KEY NOT NULL,
    -- The same hash of the email alone.
    account TEXT NOT NULL,
    -- The last sign-in, in seconds since the Unix epoch.
    last_at INTEGER NOT NULL
) STRICT;

-- For the removal of the oldest networks of an account.
CREATE INDEX known_networks_account ON known_networks (account, last_at);

-- For the removal of networks without a recent sign-in.
CREATE INDEX known_networks_last_at ON known_networks (last_at);
