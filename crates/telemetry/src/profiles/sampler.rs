//! Stacks of running threads, and their encoding for Pyroscope.
//!
//! The system sends SIGPROF to a running thread after each 10 ms of processor time of the process. The handler of the
//! crate `pprof` records the stack of that thread. So a process that waits has no samples, and pays nothing for them.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, UNIX_EPOCH},
};

use pprof::{ProfilerGuard, ProfilerGuardBuilder, Report, Symbol};
use prost::Message as _;

/// Samples per second of processor time.
const FREQUENCY: i32 = 100;

/// The time that a sample stands for, in nanoseconds.
const PERIOD: i64 = 1_000_000_000 / FREQUENCY as i64;

/// The name of the profile, by which Pyroscope and Grafana know profiles of processor time.
const NAME: &str = "process_cpu";

/// A running sampler. There can be one in a process.
pub(super) struct Sampler(ProfilerGuard<'static>);

impl Sampler {
    pub(super) fn start() -> Result<Self, pprof::Error> {
        let sampler = ProfilerGuardBuilder::default().frequency(FREQUENCY).build();
        sampler.map(Self)
    }

    /// Stops, and returns the samples as a request for Pyroscope with these labels. `None` if there are no samples.
    pub(super) fn finish(
        self,
        labels: &[(String, String)],
    ) -> Result<Option<Vec<u8>>, pprof::Error> {
        let report = self.0.report().build()?;
        if report.data.is_empty() {
            return Ok(None);
        }
        Ok(Some(request(&profile(&report), labels).encode_to_vec()))
    }
}

/// The message of `push.v1.PusherService/Push`.
fn request(profile: &Profile, labels: &[(String, String)]) -> PushRequest {
    let name = ("__name__".to_owned(), NAME.to_owned());
    let labels = std::iter::once(&name).chain(labels);
    PushRequest {
        series: vec![Series {
            labels: labels
                .map(|(name, value)| Label {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            samples: vec![RawSample {
                raw_profile: profile.encode_to_vec(),
            }],
        }],
    }
}

/// The samples in the format of pprof, in which tables hold what samples share.
fn profile(report: &Report) -> Profile {
    let mut strings = Table::default();
    strings.id(String::new());
    let cpu = ValueType {
        r#type: strings.index("cpu"),
        unit: strings.index("nanoseconds"),
    };
    let mut functions = Table::default();
    let mut locations = Table::default();
    let mut samples = Vec::with_capacity(report.data.len());
    for (stack, count) in &report.data {
        let frames = stack.frames.iter().filter(|symbols| !symbols.is_empty());
        let location_id = frames
            .map(|symbols| {
                let lines = symbols.iter().map(|symbol| line(symbol, &mut functions));
                locations.id(lines.collect::<Vec<_>>())
            })
            .collect();
        samples.push(Sample {
            location_id,
            value: vec![
                i64::try_from(*count)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(PERIOD),
            ],
        });
    }
    let function = functions
        .into_numbered()
        .map(|(id, (name, file))| Function {
            id,
            name: strings.index(&name),
            filename: strings.index(&file),
        })
        .collect();
    let location = locations
        .into_numbered()
        .map(|(id, line)| Location {
            id,
            line: line
                .into_iter()
                .map(|(function_id, line)| Line { function_id, line })
                .collect(),
        })
        .collect();
    let timing = &report.timing;
    let start = timing.start_time.duration_since(UNIX_EPOCH);
    Profile {
        sample_type: vec![cpu],
        sample: samples,
        location,
        function,
        string_table: strings.into_numbered().map(|(_, text)| text).collect(),
        time_nanos: nanoseconds(start.unwrap_or_default()),
        duration_nanos: nanoseconds(timing.duration),
        period_type: Some(cpu),
        period: PERIOD,
    }
}

/// The function of a symbol, and its line.
fn line(symbol: &Symbol, functions: &mut Table<(String, String)>) -> (u64, i64) {
    let file = symbol.filename.as_ref();
    let file = file.map(|file| file.to_string_lossy().into_owned());
    let function = functions.id((symbol.name(), file.unwrap_or_default()));
    (function, symbol.lineno.map_or(0, i64::from))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Distinct values, numbered from 1 in the order in which they were added.
struct Table<T>(HashMap<T, u64>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Table<T> {
    fn id(&mut self, value: T) -> u64 {
        let next = self.0.len() as u64 + 1;
        *self.0.entry(value).or_insert(next)
    }

    /// The values with their numbers, in the order of the numbers.
    fn into_numbered(self) -> impl Iterator<Item = (u64, T)> {
        let mut all: Vec<_> = self.0.into_iter().map(|(value, id)| (id, value)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter()
    }
}

impl Table<String> {
    /// The index in the table of strings, which counts from 0.
    fn index(&mut self, text: &str) -> i64 {
        i64::try_from(self.id(text.to_owned()) - 1).unwrap_or_default()
    }
}

// The parts of Pyroscope's `push.proto` and of pprof's `profile.proto` that are used.

#[derive(Clone, PartialEq, prost::Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<RawSample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawSample {
    #[prost(bytes = "vec", tag = "1")]
    raw_profile: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, time::Instant};

    use super::*;

    #[inline(never)]
    fn busy_function_of_this_test() {
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            black_box(());
        }
    }

    #[test]
    fn a_profile_has_the_names_of_functions_that_ran() {
        let sampler = Sampler::start().unwrap();
        busy_function_of_this_test();
        let labels = [("service_name".to_owned(), "probe".to_owned())];
        let request = sampler.finish(&labels).unwrap().expect("samples");
        let request = PushRequest::decode(request.as_slice()).unwrap();
        let [series] = request.series.as_slice() else {
            panic!("{request:?}");
        };
        let labels: Vec<_> = series
            .labels
            .iter()
            .map(|label| (label.name.as_str(), label.value.as_str()))
            .collect();
        assert_eq!(
            labels,
            [("__name__", "process_cpu"), ("service_name", "probe")]
        );

        let profile = Profile::decode(series.samples[0].raw_profile.as_slice()).unwrap();
        let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].as_str();
        assert_eq!(text(0), "");
        let types: Vec<_> = profile
            .sample_type
            .iter()
            .map(|of| (text(of.r#type), text(of.unit)))
            .collect();
        assert_eq!(types, [("cpu", "nanoseconds")]);
        let busy = profile
            .function
            .iter()
            .find(|function| text(function.name).ends_with("busy_function_of_this_test"))
            .expect("the function that ran");
        let has_it = |id: &u64| {
            let location = &profile.location[usize::try_from(*id).unwrap() - 1];
            assert_eq!(location.id, *id);
            location.line.iter().any(|line| line.function_id == busy.id)
        };
        let time: i64 = profile
            .sample
            .iter()
            .filter(|sample| sample.location_id.iter().any(has_it))
            .flat_map(|sample| &sample.value)
            .sum();
        // The half second, unless the machine is busy.
        assert!((100_000_000..=600_000_000).contains(&time), "{time} ns");
        assert!(profile.duration_nanos >= 400_000_000 && profile.time_nanos > 0);
    }
}
