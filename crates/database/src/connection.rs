//! A connection to SQLite that one thread at a time uses.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection as _, ConnectionError, QueryResult, RunQueryDsl as _, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _},
    dsl::sql,
    sql_types::Integer,
};

use crate::{PATIENCE, is_locked};

/// Time between two attempts to open a connection.
const PAUSE: Duration = Duration::from_millis(5);

/// A connection, which is opened again after an operation that left its transaction open.
pub(crate) struct Connection {
    url: String,
    role: Role,
    open: SqliteConnection,
}

impl Connection {
    pub(crate) fn open(url: &str, role: Role) -> Result<Self, ConnectionError> {
        Ok(Self {
            url: url.to_owned(),
            role,
            open: open(url, role)?,
        })
    }

    /// The connection, without a transaction.
    ///
    /// # Errors
    /// When the connection must be opened again, and that fails.
    pub(crate) fn get(&mut self) -> Result<&mut SqliteConnection, ConnectionError> {
        // A panic in a transaction leaves it open.
        if AnsiTransactionManager::is_broken_transaction_manager(&mut self.open) {
            self.open = open(&self.url, self.role)?;
        }
        Ok(&mut self.open)
    }
}

/// Opens a connection. While another connection opens a new file, the switch to WAL fails at once, whatever the
/// busy timeout is. So it is tried again.
fn open(url: &str, role: Role) -> Result<SqliteConnection, ConnectionError> {
    let start = Instant::now();
    loop {
        let outcome = open_once(url, role);
        let is_locked = matches!(
            &outcome,
            Err(ConnectionError::CouldntSetupConfiguration(error)) if is_locked(error)
        );
        if !is_locked || start.elapsed() > PATIENCE {
            return outcome;
        }
        thread::park_timeout(PAUSE);
    }
}

fn open_once(url: &str, role: Role) -> Result<SqliteConnection, ConnectionError> {
    let mut connection = SqliteConnection::establish(url)?;
    role.configure(&mut connection)
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Reader,
    Writer(Contents),
}

/// What a database holds, which decides what a loss of power may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contents {
    /// What exists nowhere else.
    Records,
    /// What is replaced by newer data.
    Recent,
}

/// Whether the file is one that can be made smaller step by step.
fn is_incremental(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let mode: i32 = sql::<Integer>("PRAGMA auto_vacuum").get_result(connection)?;
    Ok(mode == 2)
}

impl Role {
    /// The name in telemetry.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer(_) => "writer",
        }
    }

    fn configure(self, connection: &mut SqliteConnection) -> QueryResult<()> {
        // The timeout comes first, because switching to WAL takes a lock.
        let patience = PATIENCE.as_millis();
        let role = match self {
            Self::Reader => "PRAGMA query_only = ON;",
            // With WAL, a commit survives a loss of power only with FULL. macOS needs fullfsync
            // too, which other systems ignore.
            Self::Writer(Contents::Records) => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;"
            }
            // The vacuum must be chosen before the first page is written, which WAL does. Later, the choice would be
            // a write, which fails on a full disk. A large commit makes the log large, so it is cut to 4 MiB.
            Self::Writer(Contents::Recent) if is_incremental(connection)? => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304;"
            }
            Self::Writer(Contents::Recent) => {
                "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; \
                 PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304;"
            }
        };
        connection.batch_execute(&format!(
            "PRAGMA busy_timeout = {patience}; PRAGMA foreign_keys = ON; {role}"
        ))
    }
}
