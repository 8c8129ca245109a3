-- Events that the broker has not acknowledged yet. A row is written in the transaction of its change.
CREATE TABLE outbox (
    -- The order in which events are sent. AUTOINCREMENT never reuses a number, so a new event always
    -- comes after all that the relay has read.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    -- The event's id: a UUID, version 7.
    id TEXT NOT NULL,
    -- The service that wrote the event.
    source TEXT NOT NULL,
    -- The type of the event, such as otelix.user.registered.v1.
    type TEXT NOT NULL,
    -- The user's id, which is also the record's key. If it is null, the event's id is the key.
    subject TEXT,
    -- Microseconds since the Unix epoch.
    time INTEGER NOT NULL,
    topic TEXT NOT NULL,
    -- A message of events.v1.
    payload BLOB NOT NULL,
    -- The context of the span `send TOPIC`, in the format of W3C Trace Context.
    traceparent TEXT,
    tracestate TEXT
) STRICT;
