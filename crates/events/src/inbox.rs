//! The inbox: ids of the events whose effect is in a database, so that a redelivered event has no
//! second effect.
//!
//! A consumer that is killed between its work and its commit receives the event again, and the ids
//! that it kept in memory are gone. So a handler that writes to a database calls [`first_time`] in
//! the transaction of its effect.
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

/// Whether the event is new. Stores its id in the transaction.
///
/// # Errors
/// When the database fails. The transaction must fail with that error.
pub fn first_time(connection: &mut SqliteConnection, id: Uuid) -> QueryResult<bool> {
    let inserted = diesel::insert_or_ignore_into(inbox::table)
        .values((
            inbox::id.eq(id.to_string()),
            inbox::received_at.eq(microseconds(SystemTime::now())),
        ))
        .execute(connection)?;
    Ok(inserted > 0)
}

/// Deletes the ids that were received before a time. Choose a time beyond the retention of the topic,
/// because older events cannot be delivered again.
///
/// # Errors
/// When the database fails.
pub fn forget(connection: &mut SqliteConnection, before: SystemTime) -> QueryResult<usize> {
    diesel::delete(inbox::table.filter(inbox::received_at.lt(microseconds(before))))
        .execute(connection)
}
