//! The report of a run: a table, or one JSON document for programs.
//!
//! The JSON document is a serialized [`Report`], whose documentation describes the fields. Names of
//! fields are stable. Latencies and durations are in seconds.

use std::{io, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{
    journey::{Input, Journey, Mix},
    schedule::Shape,
};

/// The minimum number of journeys for each percentile.
pub(crate) const P50: u64 = 2;
const P90: u64 = 10;
pub(crate) const P99: u64 = 100;
const P999: u64 = 1_000;

/// The explanation of the terms in the tables.
const LEGEND: &str =
    "good input must be accepted and bad input refused; other answers are unexpected";

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the load generator.
    pub(crate) version: &'static str,
    /// The target, as in `--target`.
    pub(crate) target: String,
    /// The seed. The same seed and settings give the same journeys.
    pub(crate) seed: u64,
    /// The settings of the run.
    pub(crate) settings: Settings,
    /// Seconds from the start of the schedule to the last answer.
    pub elapsed: f64,
    /// Whether there was an answer, and all answers were expected.
    pub passed: bool,
    /// All journeys together.
    pub total: Row,
    /// By journey and input, without those that did not occur.
    pub rows: Vec<Row>,
    /// The unexpected answers by kind, the most frequent first.
    pub errors: Vec<Errors>,
}

/// The settings of a run in the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    /// Journeys per second.
    pub(crate) rate: f64,
    /// The distribution of start times: `steady` or `burst`.
    pub(crate) shape: Shape,
    /// Seconds in which journeys start; `null` if endless.
    pub(crate) duration: Option<f64>,
    /// Limit of journeys; `null` if unlimited.
    pub(crate) count: Option<u64>,
    /// Weight of each journey, by name.
    pub(crate) mix: Mix,
    /// Share of bad input.
    pub(crate) bad: f64,
    /// Limit of concurrent journeys.
    pub(crate) max_in_flight: usize,
    /// Timeout of each request in seconds.
    pub(crate) timeout: f64,
    /// Number of accounts that were registered before the first journey.
    pub(crate) accounts: usize,
}

/// The results of some of the journeys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The journey: `register`, `login`, `me` or `logout`; `null` for all.
    pub journey: Option<Journey>,
    /// The input: `good` or `bad`; `null` for both.
    pub input: Option<Input>,
    /// The number of journeys that ended.
    pub count: u64,
    /// The number of journeys that ended, per second of the run.
    pub per_second: f64,
    /// The number of journeys with an unexpected answer.
    pub unexpected: u64,
    /// Their latency; `null` if there were no journeys.
    pub latency: Option<Latency>,
}

/// Latencies in seconds, from the scheduled start of a journey to the end of its answer, expected
/// or not. Higher latencies than 60 s count as 60 s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The maximum.
    pub max: f64,
}

/// One kind of unexpected answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// The answer: `http STATUS`, `grpc CODE`, `timeout`, `connect`, `transport`, or `unsent` for a
    /// journey that still waited to start one timeout after the end of the run.
    pub kind: String,
    /// The request that got it.
    pub(crate) stage: Stage,
    /// The journey.
    pub(crate) journey: Journey,
    /// The input of the journey.
    pub(crate) input: Input,
    /// The number of such answers.
    pub(crate) count: u64,
}

/// Which request of a journey got an unexpected answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// A request that prepares the journey, such as a sign-in before a sign-out. Its duration does
    /// not count as latency.
    Preparation,
    /// The measured request.
    Request,
}

impl Stage {
    /// The name in log records.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Preparation => "preparation",
            Self::Request => "request",
        }
    }
}

impl Report {
    /// Whether a row has journeys, and none of them is unexpected.
    pub(crate) fn passes(total: &Row) -> bool {
        total.count > 0 && total.unexpected == 0
    }

    /// Writes the report as one JSON document in one line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_json(&self, out: &mut impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    /// Writes the report as tables.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_text(&self, out: &mut impl io::Write) -> io::Result<()> {
        let Settings {
            rate,
            shape,
            mix,
            bad,
            ..
        } = &self.settings;
        let shape = match shape {
            Shape::Steady => "steady",
            Shape::Burst => "burst",
        };
        writeln!(out, "{} for {:.1} s", self.target, self.elapsed)?;
        writeln!(
            out,
            "{rate}/s {shape}, {mix}, bad {bad}, seed {}",
            self.seed
        )?;
        writeln!(out)?;

        let mut table = plain(&[
            "journey",
            "input",
            "count",
            "per second",
            "unexpected",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
        ]);
        for row in self.rows.iter().chain([&self.total]) {
            // With fewer journeys, the percentile would just be the maximum.
            let latency = |of: fn(Latency) -> f64, least: u64| match row.latency {
                Some(latency) if row.count >= least => human(of(latency)),
                _ => "-".to_owned(),
            };
            table.add_row([
                row.journey.map_or("total", Journey::name).to_owned(),
                row.input.map_or("", Input::name).to_owned(),
                row.count.to_string(),
                format!("{:.1}", row.per_second),
                row.unexpected.to_string(),
                latency(|latency| latency.p50, P50),
                latency(|latency| latency.p90, P90),
                latency(|latency| latency.p99, P99),
                latency(|latency| latency.p999, P999),
                latency(|latency| latency.max, 1),
            ]);
        }
        align(&mut table, 2..10);
        write_table(out, &table)?;
        writeln!(out, "\n{LEGEND}")?;

        if !self.errors.is_empty() {
            writeln!(out)?;
            let mut table = plain(&["unexpected", "journey", "input", "count"]);
            for errors in &self.errors {
                let kind = match errors.stage {
                    Stage::Preparation => format!("{} (preparing)", errors.kind),
                    Stage::Request => errors.kind.clone(),
                };
                table.add_row([
                    kind,
                    errors.journey.name().to_owned(),
                    errors.input.name().to_owned(),
                    errors.count.to_string(),
                ]);
            }
            align(&mut table, 3..4);
            write_table(out, &table)?;
        }
        Ok(())
    }
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().copied());
    table
}

fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn write_table(out: &mut impl io::Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Formats seconds with three significant digits and a unit.
pub(crate) fn human(seconds: f64) -> String {
    let millis = seconds * 1e3;
    if millis < 9.995 {
        format!("{millis:.2} ms")
    } else if millis < 99.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else {
        format!("{seconds:.1} s")
    }
}

/// Formats a duration with three significant digits and a unit.
pub(crate) fn human_duration(duration: Duration) -> String {
    human(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let latency = Some(Latency {
            p50: 0.001_23,
            p90: 0.0123,
            p99: 0.123,
            p999: 1.23,
            max: 12.3,
        });
        let row = |journey, input| Row {
            journey,
            input,
            count: 300,
            per_second: 10.0,
            unexpected: 2,
            latency,
        };
        Report {
            version: "1.2.3",
            target: "http://127.0.0.1:8082".to_owned(),
            seed: u64::MAX,
            settings: Settings {
                rate: 10.0,
                shape: Shape::Steady,
                duration: Some(30.0),
                count: None,
                mix: Mix {
                    register: 1,
                    login: 3,
                    me: 6,
                    logout: 1,
                },
                bad: 0.1,
                max_in_flight: 256,
                timeout: 10.0,
                accounts: 8,
            },
            elapsed: 30.5,
            passed: false,
            total: row(None, None),
            rows: vec![row(Some(Journey::Me), Some(Input::Bad))],
            errors: vec![Errors {
                kind: "http 503".to_owned(),
                stage: Stage::Request,
                journey: Journey::Me,
                input: Input::Bad,
                count: 2,
            }],
        }
    }

    #[test]
    fn the_json_has_stable_fields() {
        let mut out = Vec::new();
        report().write_json(&mut out).unwrap();
        let latency = r#"{"p50":0.00123,"p90":0.0123,"p99":0.123,"p999":1.23,"max":12.3}"#;
        let wanted = [
            r#"{"version":"1.2.3","target":"http://127.0.0.1:8082","seed":18446744073709551615,"#,
            r#""settings":{"rate":10.0,"shape":"steady","duration":30.0,"count":null,"#,
            r#""mix":{"register":1,"login":3,"me":6,"logout":1},"bad":0.1,"#,
            r#""max_in_flight":256,"timeout":10.0,"accounts":8},"elapsed":30.5,"passed":false,"#,
            r#""total":{"journey":null,"input":null,"count":300,"per_second":10.0,"#,
            r#""unexpected":2,"latency":"#,
            latency,
            r#"},"rows":[{"journey":"me","input":"bad","count":300,"per_second":10.0,"#,
            r#""unexpected":2,"latency":"#,
            latency,
            r#"}],"errors":[{"kind":"http 503","stage":"request","journey":"me","#,
            r#""input":"bad","count":2}]}"#,
            "\n",
        ];
        assert_eq!(String::from_utf8(out).unwrap(), wanted.concat());
    }

    #[test]
    fn the_table_has_no_borders() {
        let mut out = Vec::new();
        report().write_text(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.is_ascii(), "{text}");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let latencies = ["1.23", "ms", "12.3", "ms", "123", "ms", "-", "12.3", "s"];
        for row in [
            &["me", "bad", "300", "10.0", "2"][..],
            &["total", "300", "10.0", "2"],
        ] {
            assert!(lines.contains(&[row, &latencies].concat()), "{text}");
        }
        assert!(
            lines.contains(&vec!["http", "503", "me", "bad", "2"]),
            "{text}"
        );
        assert!(text.contains("seed 18446744073709551615"), "{text}");
        assert!(text.contains(" for 30.5 s\n"), "{text}");
        assert!(text.contains(LEGEND), "{text}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }

    #[test]
    fn a_percentile_needs_enough_journeys() {
        for (count, known) in [(1, 1), (2, 2), (10, 3), (99, 3), (100, 4), (1_000, 5)] {
            let mut report = report();
            report.rows[0].count = count;
            report.total.count = count;
            let mut out = Vec::new();
            report.write_text(&mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let total = text
                .lines()
                .find(|line| line.trim_start().starts_with("total"))
                .unwrap();
            let missing = total.split_whitespace().filter(|word| *word == "-").count();
            assert_eq!(5 - missing, known, "{text}");
        }
    }

    #[test]
    fn a_run_passes_if_it_has_journeys_and_all_are_expected() {
        let row = |count, unexpected| Row {
            count,
            unexpected,
            ..report().total
        };
        assert!(Report::passes(&row(1, 0)));
        assert!(!Report::passes(&row(1_000, 1)));
        assert!(!Report::passes(&row(0, 0)));
    }

    #[test]
    fn a_latency_has_three_digits() {
        for (seconds, text) in [
            (0.000_001, "0.00 ms"),
            (0.001_234, "1.23 ms"),
            (0.009_996, "10.0 ms"),
            (0.012_34, "12.3 ms"),
            (0.099_96, "100 ms"),
            (0.1234, "123 ms"),
            (1.234, "1.23 s"),
            (9.996, "10.0 s"),
            (12.34, "12.3 s"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }
}
