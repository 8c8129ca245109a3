//! The table of chunks.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use diesel::{connection::SimpleConnection as _, prelude::*, sql_types::BigInt};
use otlp::Signal;

use super::queue::Chunk;

/// Maximum size of a message before compression, in bytes: a chunk with the largest request. A damaged row may name
/// any size.
const MAX_SIZE: usize = 128 << 20;

/// Bytes of pages that a row takes in addition to its message.
const ROOM: u64 = 64 << 10;

diesel::table! {
    chunks (id) {
        id -> BigInt,
        signal -> Integer,
        sealed_at -> BigInt,
        records -> BigInt,
        size -> BigInt,
        checksum -> BigInt,
        message -> Binary,
    }
}

/// A chunk in the table.
#[derive(Clone, Debug, HasQuery, Insertable)]
#[diesel(table_name = chunks)]
pub(super) struct Row {
    #[diesel(skip_insertion)]
    pub(super) id: i64,
    signal: i32,
    sealed_at: i64,
    records: i64,
    size: i64,
    checksum: i64,
    message: Vec<u8>,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub(super) struct Extent {
    /// The last id, or 0.
    #[diesel(sql_type = BigInt)]
    pub(super) last: i64,
    /// Number of spans, data points and log records.
    #[diesel(sql_type = BigInt)]
    pub(super) records: i64,
}

/// The pages of a file.
#[derive(QueryableByName)]
struct Pages {
    #[diesel(sql_type = BigInt)]
    page_count: i64,
    #[diesel(sql_type = BigInt)]
    freelist_count: i64,
    #[diesel(sql_type = BigInt)]
    page_size: i64,
}

impl Row {
    /// Compresses a chunk.
    pub(super) fn pack(chunk: &Chunk, now: SystemTime) -> Self {
        let message = lz4_flex::block::compress(&chunk.message);
        Self {
            id: 0,
            signal: code(chunk.signal),
            sealed_at: database::microseconds(now),
            records: chunk.records.cast_signed(),
            size: chunk.message.len() as i64,
            checksum: crc32fast::hash(&message).into(),
            message,
        }
    }

    /// The signal and the message, unless the row is damaged.
    pub(super) fn unpack(&self) -> io::Result<(Signal, Vec<u8>)> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        if i64::from(crc32fast::hash(&self.message)) != self.checksum {
            return Err(damaged("the checksum is wrong"));
        }
        let signal = [Signal::Traces, Signal::Metrics, Signal::Logs]
            .into_iter()
            .find(|&signal| code(signal) == self.signal)
            .ok_or_else(|| damaged("the signal is unknown"))?;
        let size = usize::try_from(self.size).ok();
        let size = size
            .filter(|&size| size <= MAX_SIZE)
            .ok_or_else(|| damaged("the size is wrong"))?;
        let message = lz4_flex::block::decompress(&self.message, size);
        let message = message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((signal, message))
    }

    pub(super) fn records(&self) -> u64 {
        self.records.try_into().unwrap_or_default()
    }

    /// The time at which its telemetry had arrived.
    pub(super) fn arrived(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.sealed_at.try_into().unwrap_or_default())
    }
}

/// Inserts a row. Deletes the oldest ones if the file would be larger than `limit` bytes. Returns its size.
pub(super) fn insert(connection: &mut SqliteConnection, row: &Row, limit: u64) -> QueryResult<u64> {
    let needed = row.message.len() as u64 + ROOM;
    let oldest = "DELETE FROM chunks WHERE id = (SELECT min(id) FROM chunks)";
    while pages(connection)?.used() + needed > limit
        && diesel::sql_query(oldest).execute(connection)? > 0
    {}
    diesel::insert_into(chunks::table)
        .values(row)
        .execute(connection)?;
    let pages = pages(connection)?;
    let excess = pages.size().saturating_sub(limit);
    // New rows use free pages first. So the file only has too many if an earlier run had a higher limit.
    if excess > 0 {
        let count = excess.div_ceil(pages.page_size.cast_unsigned());
        connection.batch_execute(&format!("PRAGMA incremental_vacuum({count})"))?;
    }
    Ok(pages.size() - excess.min(pages.free()))
}

/// What the table holds, and the size of the file.
pub(super) fn extent(connection: &mut SqliteConnection) -> QueryResult<(Extent, u64)> {
    let query = "SELECT coalesce(max(id), 0) AS last, coalesce(sum(records), 0) AS records \
                 FROM chunks";
    let extent = diesel::sql_query(query).get_result(connection)?;
    Ok((extent, pages(connection)?.size()))
}

/// The first row after one id, and up to another one.
pub(super) fn next(
    connection: &mut SqliteConnection,
    after: i64,
    last: i64,
) -> QueryResult<Option<Row>> {
    let rows = chunks::id.gt(after).and(chunks::id.le(last));
    Row::query()
        .filter(rows)
        .order(chunks::id)
        .first(connection)
        .optional()
}

impl Pages {
    fn size(&self) -> u64 {
        (self.page_count * self.page_size).cast_unsigned()
    }

    fn free(&self) -> u64 {
        (self.freelist_count * self.page_size).cast_unsigned()
    }

    fn used(&self) -> u64 {
        self.size() - self.free()
    }
}

fn pages(connection: &mut SqliteConnection) -> QueryResult<Pages> {
    let query = "SELECT page_count, freelist_count, page_size \
                 FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    diesel::sql_query(query).get_result(connection)
}

/// The number of a signal in the table.
fn code(signal: Signal) -> i32 {
    match signal {
        Signal::Traces => 1,
        Signal::Metrics => 2,
        Signal::Logs => 3,
    }
}
