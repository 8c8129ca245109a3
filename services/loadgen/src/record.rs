//! The results of the journeys: latencies and unexpected answers, in bounded memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::{
    journey::{Input, Journey},
    report::{Errors, Latency, Row, Stage},
    target::Kind,
};

/// The highest latency that the histograms resolve, in microseconds.
const HIGHEST: u64 = 60_000_000;

/// The result of one journey.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) journey: Journey,
    pub(crate) input: Input,
    /// From the scheduled start to the end of the answer, without the preparation.
    pub(crate) latency: Duration,
    /// `None` if the answer was expected.
    pub(crate) unexpected: Option<(Stage, Kind)>,
}

/// The results so far, which all journeys share.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Records>);

#[derive(Debug)]
struct Records {
    /// By journey and input.
    cells: Vec<((Journey, Input), Cell)>,
    total: Cell,
    /// The number of keys is bounded, because a [`Kind`] consists of a fixed set of words.
    errors: BTreeMap<(Journey, Input, Stage, String), u64>,
}

#[derive(Clone, Debug)]
struct Cell {
    /// In microseconds.
    latencies: Histogram<u64>,
    unexpected: u64,
}

/// The intermediate results of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) count: u64,
    pub(crate) unexpected: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Cell {
    fn new() -> Self {
        Self {
            latencies: Histogram::new_with_bounds(1, HIGHEST, 3)
                .expect("the bounds are constant and valid"),
            unexpected: 0,
        }
    }

    fn record(&mut self, outcome: &Outcome) {
        let micros = u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros.clamp(1, HIGHEST));
        if outcome.unexpected.is_some() {
            self.unexpected += 1;
        }
    }

    fn row(&self, of: Option<(Journey, Input)>, elapsed: Duration) -> Row {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let quantile = |quantile| seconds(self.latencies.value_at_quantile(quantile));
        let count = self.latencies.len();
        Row {
            journey: of.map(|(journey, _)| journey),
            input: of.map(|(_, input)| input),
            count,
            per_second: if elapsed.is_zero() {
                0.0
            } else {
                count as f64 / elapsed.as_secs_f64()
            },
            unexpected: self.unexpected,
            latency: (count > 0).then(|| Latency {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: seconds(self.latencies.max().min(HIGHEST)),
            }),
        }
    }
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let cells = Journey::ALL
            .into_iter()
            .flat_map(|journey| Input::ALL.map(|input| ((journey, input), Cell::new())))
            .collect();
        Self(Mutex::new(Records {
            cells,
            total: Cell::new(),
            errors: BTreeMap::new(),
        }))
    }

    /// Adds an outcome. If it is unexpected, returns how many of its kind there are.
    pub(crate) fn record(&self, outcome: &Outcome) -> Option<u64> {
        let mut records = self.records();
        records.total.record(outcome);
        let key = (outcome.journey, outcome.input);
        if let Some((_, cell)) = records.cells.iter_mut().find(|(of, _)| *of == key) {
            cell.record(outcome);
        }
        let (stage, kind) = outcome.unexpected.as_ref()?;
        let key = (outcome.journey, outcome.input, *stage, kind.to_string());
        let count = records.errors.entry(key).or_default();
        *count += 1;
        Some(*count)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let records = self.records();
        let Cell {
            latencies,
            unexpected,
        } = &records.total;
        let quantile = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile));
        Snapshot {
            count: latencies.len(),
            unexpected: *unexpected,
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }

    /// The row of all journeys, the rows of those that occurred, and the errors.
    pub(crate) fn rows(&self, elapsed: Duration) -> (Row, Vec<Row>, Vec<Errors>) {
        let records = self.records();
        let rows = records
            .cells
            .iter()
            .map(|(of, cell)| cell.row(Some(*of), elapsed))
            .filter(|row| row.count > 0)
            .collect();
        let mut errors: Vec<Errors> = records
            .errors
            .iter()
            .map(|((journey, input, stage, kind), count)| Errors {
                kind: kind.clone(),
                stage: *stage,
                journey: *journey,
                input: *input,
                count: *count,
            })
            .collect();
        errors.sort_by_key(|errors| std::cmp::Reverse(errors.count));
        (records.total.row(None, elapsed), rows, errors)
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(latency: Duration) -> Outcome {
        Outcome {
            journey: Journey::Me,
            input: Input::Good,
            latency,
            unexpected: None,
        }
    }

    /// Whether two values agree in the three digits that the histogram keeps.
    fn is_near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() <= wanted * 0.001
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_latencies() {
        let recorder = Recorder::new();
        for millis in 1..=1_000 {
            recorder.record(&outcome(Duration::from_millis(millis)));
        }
        let (total, rows, errors) = recorder.rows(Duration::from_secs(10));
        let latency = total.latency.unwrap();
        assert!(is_near(latency.p50, 0.5), "{latency:?}");
        assert!(is_near(latency.p90, 0.9), "{latency:?}");
        assert!(is_near(latency.p99, 0.99), "{latency:?}");
        assert!(is_near(latency.p999, 0.999), "{latency:?}");
        assert!(is_near(latency.max, 1.0), "{latency:?}");
        assert!(is_near(total.per_second, 100.0));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].count, 1_000);
        assert!(errors.is_empty());
    }

    #[test]
    fn a_latency_out_of_range_counts_as_the_nearest_bound() {
        let recorder = Recorder::new();
        recorder.record(&outcome(Duration::ZERO));
        recorder.record(&outcome(Duration::MAX));
        let (total, _, _) = recorder.rows(Duration::from_secs(1));
        let latency = total.latency.unwrap();
        assert!(is_near(latency.p50, 0.000_001), "{latency:?}");
        assert!(is_near(latency.max, 60.0), "{latency:?}");
    }

    #[test]
    fn unexpected_answers_are_counted_by_kind() {
        let recorder = Recorder::new();
        let unexpected = |kind| Outcome {
            unexpected: Some((Stage::Request, kind)),
            ..outcome(Duration::from_millis(1))
        };
        recorder.record(&outcome(Duration::from_millis(1)));
        assert_eq!(recorder.record(&unexpected(Kind::Timeout)), Some(1));
        assert_eq!(recorder.record(&unexpected(Kind::Connect)), Some(1));
        assert_eq!(recorder.record(&unexpected(Kind::Connect)), Some(2));
        let (total, _, errors) = recorder.rows(Duration::from_secs(1));
        assert_eq!((total.count, total.unexpected), (4, 3));
        let errors: Vec<(&str, u64)> = errors
            .iter()
            .map(|errors| (errors.kind.as_str(), errors.count))
            .collect();
        assert_eq!(errors, [("connect", 2), ("timeout", 1)]);
        assert_eq!(recorder.snapshot().unexpected, 3);
    }

    #[test]
    fn an_empty_record_has_no_latency() {
        let (total, rows, _) = Recorder::new().rows(Duration::ZERO);
        assert_eq!((total.count, total.latency), (0, None));
        assert!(rows.is_empty());
    }
}
