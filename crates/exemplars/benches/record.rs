//! Benchmark of the cost of exemplars when a measurement is recorded: `cargo bench -p exemplars`.
//!
//! Variants take turns. For one thread, the fastest round counts, because other work of the machine
//! slows the others. For two threads, the median round counts, because in the fastest one the threads did
//! not compete.

use std::{
    hint::black_box,
    io::{self, Write as _},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table, presets};
use exemplars::{Exemplars, Filter, Reservoir};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    metrics::{Histogram, MeterProvider as _},
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter,
    },
};

/// Number of rounds for one thread and for two.
const ROUNDS: [usize; 2] = [400, 40];
const RECORDS: [u32; 2] = [10_000, 200_000];
const BOUNDARIES: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` runs this too, with --test, to see that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    if cfg!(debug_assertions) {
        return Err("only the release build can be measured: use cargo bench".into());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "record, ns",
        "1 thread",
        "more",
        "2 threads",
        "more",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }

    let subject = |filter| Subject::new(Some(filter));
    let variants = [
        ("SDK alone", Subject::new(None), sampled()),
        ("no span", subject(Filter::TraceBased), Context::new()),
        ("not sampled", subject(Filter::TraceBased), unsampled()),
        ("sampled", subject(Filter::TraceBased), sampled()),
        ("always off", subject(Filter::AlwaysOff), sampled()),
    ];
    let mut rows = variants.each_ref().map(|_| [f64::NAN; 2]);
    for threads in [1, 2] {
        let mut rounds = variants.each_ref().map(|_| Vec::new());
        for _ in 0..ROUNDS[threads - 1] {
            for ((_, subject, context), rounds) in variants.iter().zip(&mut rounds) {
                rounds.push(subject.round(threads, context));
            }
        }
        for (row, rounds) in rows.iter_mut().zip(&mut rounds) {
            rounds.sort_by(f64::total_cmp);
            row[threads - 1] = rounds[if threads == 1 { 0 } else { rounds.len() / 2 }];
        }
    }
    for ((name, ..), [one, two]) in variants.iter().zip(rows) {
        table.add_row([
            (*name).to_owned(),
            format!("{one:.1}"),
            format!("{:+.1}", one - rows[0][0]),
            format!("{two:.1}"),
            format!("{:+.1}", two - rows[0][1]),
        ]);
    }
    writeln!(io::stdout(), "{table}")?;
    Ok(())
}

struct Subject {
    plain: Histogram<f64>,
    wrapped: Option<exemplars::Histogram<f64>>,
    _provider: SdkMeterProvider,
}

impl Subject {
    fn new(filter: Option<Filter>) -> Self {
        let exemplars = Exemplars::new(filter.unwrap_or_default());
        let exporter = Discard(exemplars.clone());
        let reader = PeriodicReader::builder(exporter)
            .with_interval(Duration::from_secs(1))
            .build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let scope = InstrumentationScope::builder("bench").build();
        let plain = provider
            .meter_with_scope(scope.clone())
            .f64_histogram("http.server.request.duration")
            .with_boundaries(BOUNDARIES.to_vec())
            .build();
        let wrapped = filter.map(|_| {
            let reservoir = Reservoir::Aligned(BOUNDARIES.to_vec());
            let name = "http.server.request.duration";
            exemplars.histogram(&scope, name, plain.clone(), reservoir)
        });
        Self {
            plain,
            wrapped,
            _provider: provider,
        }
    }

    /// Nanoseconds that a thread takes for each record.
    fn round(&self, threads: usize, context: &Context) -> f64 {
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let workers = (0..threads)
                .map(|_| scope.spawn(|| self.work(threads, &barrier, context)))
                .collect::<Vec<_>>();
            let times = workers.into_iter().map(|worker| worker.join());
            times.fold(0.0, |sum, time| sum + time.unwrap_or(f64::NAN))
        }) / threads as f64
    }

    fn work(&self, threads: usize, barrier: &Barrier, context: &Context) -> f64 {
        let records = RECORDS[usize::from(threads > 1)];
        let attributes = [
            KeyValue::new("http.request.method", "GET"),
            KeyValue::new("http.response.status_code", 200),
            KeyValue::new("http.route", "/users/{id}"),
        ];
        let _span = context.clone().attach();
        barrier.wait();
        let start = Instant::now();
        for index in 0..records {
            let value = black_box(f64::from(index % 1024) / 1024.0);
            match &self.wrapped {
                Some(histogram) => histogram.record(value, black_box(&attributes)),
                None => self.plain.record(value, black_box(&attributes)),
            }
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(records)
    }
}

fn sampled() -> Context {
    context(TraceFlags::SAMPLED)
}

fn unsampled() -> Context {
    context(TraceFlags::default())
}

fn context(flags: TraceFlags) -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(7),
        SpanId::from(7),
        flags,
        false,
        TraceState::NONE,
    ))
}

/// An exporter that attaches exemplars and sends nothing.
struct Discard(Exemplars);

impl PushMetricExporter for Discard {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut request = ExportMetricsServiceRequest::from(metrics);
        self.0.attach(&mut request);
        black_box(request);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
