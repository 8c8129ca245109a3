//! The report of a start, as a table.

use std::{io, time::Duration};

use comfy_table::{CellAlignment, Table, presets};

use super::progress::When;

/// The process that the second sum of memory leaves out. A broker is sized for thousands of users
/// and would hide the memory of the rest.
const BROKER: &str = "broker";

/// The report of a start.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
}

/// One process.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) process: String,
    pub(super) namespace: String,
    pub(super) ready: When,
    pub(super) restarts: u64,
    /// In bytes. `None` if the process has ended, or if its memory is unknown.
    pub(super) memory: Option<u64>,
}

impl Report {
    pub(super) fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|row| (row.ready, &row.process));
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "process",
            "namespace",
            "ready after",
            "restarts",
            "memory",
        ]);
        for row in &rows {
            table.add_row([
                row.process.clone(),
                row.namespace.clone(),
                when(row.ready),
                row.restarts.to_string(),
                row.memory.map_or_else(|| "-".to_owned(), megabytes),
            ]);
        }
        for index in 2..5 {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }

        let last = rows.last().map(|row| when(row.ready)).unwrap_or_default();
        let memory = |counts: fn(&Row) -> bool| {
            let counted = rows.iter().filter(|row| counts(row));
            megabytes(counted.filter_map(|row| row.memory).sum())
        };
        writeln!(out)?;
        writeln!(out, "all processes ready after {last}")?;
        writeln!(
            out,
            "memory {}, without {BROKER} {}",
            memory(|_| true),
            memory(|row| row.process != BROKER)
        )
    }
}

fn when(when: When) -> String {
    let latest = seconds(when.latest);
    match when.earliest {
        None => format!("{latest} s"),
        Some(earliest) => format!("{} to {latest} s", seconds(earliest)),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(process: &str, latest: u64, earliest: Option<u64>, memory: Option<u64>) -> Row {
        Row {
            process: process.to_owned(),
            namespace: "services".to_owned(),
            ready: When {
                latest: Duration::from_millis(latest),
                earliest: earliest.map(Duration::from_millis),
            },
            restarts: 0,
            memory,
        }
    }

    #[test]
    fn the_table_is_sorted_by_time_and_has_sums() {
        let report = Report {
            rows: vec![
                row("user", 3_456, None, Some(20_000_000)),
                row(BROKER, 2_000, None, Some(300_000_000)),
                row("preflight", 120, Some(100), None),
            ],
        };
        let mut out = Vec::new();
        report.write(&mut out).unwrap();
        let expected = " process    namespace     ready after  restarts    memory
 preflight  services   0.10 to 0.12 s         0         -
 broker     services           2.00 s         0  300.0 MB
 user       services           3.46 s         0   20.0 MB

all processes ready after 3.46 s
memory 320.0 MB, without broker 20.0 MB
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
