CREATE TABLE chunks (
    -- In the order of arrival. An id is never used again.
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    -- 1: traces, 2: metrics, 3: logs.
    signal INTEGER NOT NULL,
    -- Microseconds since the Unix epoch.
    sealed_at INTEGER NOT NULL,
    -- Number of spans, data points or log records.
    records INTEGER NOT NULL,
    -- Size of the message before compression, in bytes.
    size INTEGER NOT NULL,
    -- CRC-32 of `message`.
    checksum INTEGER NOT NULL,
    -- The OTLP export request, as a block of LZ4.
    message BLOB NOT NULL
) STRICT;
