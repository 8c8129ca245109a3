-- Events that the broker does not have yet: a row is written in the transaction of the change
-- that it tells of.
CREATE TABLE outbox (
    -- The order in which they are sent. A number is never used again, so that what was read
    -- stays behind.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    -- UUID, version 7: the event's own id.
    id TEXT NOT NULL,
    -- The service.
    source TEXT NOT NULL,
    -- What has happened, such as otelix.user.registered.v1.
    type TEXT NOT NULL,
    -- The user's id, which is the record's key too; where it is null, the event's id is the key.
    subject TEXT,
    -- Microseconds since the Unix epoch.
    time INTEGER NOT NULL,
    topic TEXT NOT NULL,
    -- A message of events.v1.
    payload BLOB NOT NULL,
    -- Of the span that sent the event, by W3C Trace Context.
    traceparent TEXT,
    tracestate TEXT
) STRICT;
