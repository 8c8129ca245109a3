//! The inbox: the ids of events whose effect is in a database, so that an event that comes again
//! has no second one.
//!
//! A consumer that is killed between its work and its commit receives the event again, and its
//! memory of it is gone. A handler whose effect is a row asks here, in the transaction of the
//! effect, whether the event is new.
//!
//! The table is the consumer's own, made by a migration:
//!
//! ```sql
//! CREATE TABLE inbox (
//!     -- The event's id: a UUID, version 7.
//!     id TEXT PRIMARY KEY NOT NULL,
//!     -- Microseconds since the Unix epoch.
//!     received_at INTEGER NOT NULL
//! ) STRICT, WITHOUT ROWID;
//! ```

use std::time::SystemTime;

use database::microseconds;
use diesel::prelude::*;
use uuid::Uuid;

use self::schema::inbox;

mod schema {
    diesel::table! {
        inbox (id) {
            id -> Text,
            received_at -> BigInt,
        }
    }
}

/// Whether the event has not been here before; from now on it has, if the transaction succeeds.
///
/// # Errors
/// Whatever the database says; the transaction must fail with it.
pub fn first_time(connection: &mut SqliteConnection, id: Uuid) -> QueryResult<bool> {
    let inserted = diesel::insert_or_ignore_into(inbox::table)
        .values((
            inbox::id.eq(id.to_string()),
            inbox::received_at.eq(microseconds(SystemTime::now())),
        ))
        .execute(connection)?;
    Ok(inserted > 0)
}

/// Forgets the events that were here before a time: those that are no longer kept in the topic
/// cannot come again.
///
/// # Errors
/// Whatever the database says.
pub fn forget(connection: &mut SqliteConnection, before: SystemTime) -> QueryResult<usize> {
    diesel::delete(inbox::table.filter(inbox::received_at.lt(microseconds(before))))
        .execute(connection)
}
