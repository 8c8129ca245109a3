//! Benchmark of a span's processor time, by this crate and by the SDK with its batch processor:
//! `cargo bench -p telemetry`.
//!
//! Spans of this crate are made, encoded and sent. Those of the SDK are not sent, since it has no exporter, which
//! favours the SDK.

use std::time::Duration;

use clap::Parser as _;
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use prost::Message as _;
use telemetry::trace::{Attributes, Span};

const ROUNDS: usize = 10;
const BURSTS: usize = 40;
/// Number of spans in a burst, which is the batch size of both.
const BURST: usize = 512;
/// Pause after a burst, so that its spans are exported and none is dropped.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    settings: telemetry::Settings,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` runs this too, with --test, to see that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let sink = e2e::collector::sink().await?;
    let cli = Cli::parse_from(["spans", "--otlp-traces-endpoint", &sink]);
    let telemetry = telemetry::init(&cli.settings, "spans", "0")?;
    let sdk = SdkTracerProvider::builder()
        .with_batch_exporter(Encoder::default())
        .build();
    let tracer = sdk.tracer("spans");

    let (mut ours, mut theirs) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        ours += measure(|| {
            let attributes = Attributes::new(attributes());
            let mut span = Span::start(&Context::new(), SpanKind::Server, "auth.v1/Me");
            std::hint::black_box(span.context().span().span_context());
            span.end(Duration::from_millis(1), &attributes, false);
        })
        .await?;
        theirs += measure(|| {
            let span = tracer
                .span_builder("auth.v1/Me")
                .with_kind(SpanKind::Server)
                .with_attributes(attributes())
                .start_with_context(&tracer, &Context::new());
            let context = Context::new().with_span(span);
            std::hint::black_box(context.span().span_context());
            context.span().end();
        })
        .await?;
    }
    telemetry.shutdown().await;
    sdk.shutdown()?;
    let spans = (ROUNDS * BURSTS * BURST) as f64;
    let line = format!(
        "microseconds of processor time per span: {:.2} in this crate, {:.2} in the SDK\n",
        ours / spans * 1e6,
        theirs / spans * 1e6
    );
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}

fn attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", "auth.v1.AuthService/Me"),
        KeyValue::new("rpc.response.status_code", "OK"),
    ]
}

/// Seconds of processor time that this process takes for some bursts of spans.
async fn measure(mut span: impl FnMut()) -> Result<f64, Box<dyn std::error::Error>> {
    let before = processor_time()?;
    for _ in 0..BURSTS {
        for _ in 0..BURST {
            span();
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(processor_time()? - before)
}

fn processor_time() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = procfs::process::Process::myself()?.stat()?;
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

/// Encodes spans as the SDK's OTLP exporter does before it sends them.
#[derive(Debug, Default)]
struct Encoder(ResourceAttributesWithSchema);

impl SpanExporter for Encoder {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let message = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.0),
        };
        std::hint::black_box(message.encode_to_vec());
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0 = resource.into();
    }
}
