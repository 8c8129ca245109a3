//! The sender in Rust: the SDK with the exporters of `opentelemetry-otlp`.

use std::thread;

use anyhow::Context as _;
use opentelemetry::{
    KeyValue,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    metrics::MeterProvider as _,
    trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};
use tokio::runtime::Handle;

/// Sends all signals, from a thread of its own: the exporters over HTTP block.
pub(super) async fn send(protocol: &'static str, endpoint: &str) -> anyhow::Result<()> {
    let (endpoint, runtime) = (endpoint.to_owned(), Handle::current());
    let (done, sent) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        // The exporters over gRPC need it.
        let _runtime = runtime.enter();
        // If the test has ended, nothing waits.
        let _ = done.send(send_from_here(protocol, &endpoint));
    });
    sent.await.context("the sender panicked")?
}

fn send_from_here(protocol: &str, endpoint: &str) -> anyhow::Result<()> {
    let (spans, points, records) = if protocol == "grpc" {
        (
            SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()?,
            MetricExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()?,
            LogExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()?,
        )
    } else {
        // An endpoint in code is that of one signal.
        let of = |signal| format!("{endpoint}/v1/{signal}");
        (
            SpanExporter::builder()
                .with_http()
                .with_endpoint(of("traces"))
                .build()?,
            MetricExporter::builder()
                .with_http()
                .with_endpoint(of("metrics"))
                .build()?,
            LogExporter::builder()
                .with_http()
                .with_endpoint(of("logs"))
                .build()?,
        )
    };
    let resource = Resource::builder().with_service_name("rust").build();
    let traces = SdkTracerProvider::builder()
        .with_batch_exporter(spans)
        .with_resource(resource.clone())
        .build();
    let meters = SdkMeterProvider::builder()
        .with_periodic_exporter(points)
        .with_resource(resource.clone())
        .build();
    let logs = SdkLoggerProvider::builder()
        .with_batch_exporter(records)
        .with_resource(resource)
        .build();

    let tracer = traces.tracer("orders");
    let meter = meters.meter("orders");
    let logger = logs.logger("orders");
    let orders = meter.u64_counter("orders").with_unit("{order}").build();
    let prices = meter.f64_histogram("prices").with_unit("{euro}").build();
    for number in 0_i32..100 {
        let order = tracer.span_builder("order").with_attributes([
            KeyValue::new("number", i64::from(number)),
            KeyValue::new("name", "Grüße <b>"),
        ]);
        let order = opentelemetry::Context::current_with_span(order.start(&tracer));
        let _order = order.attach();
        let pay = tracer.span_builder("pay").with_kind(SpanKind::Client);
        let pay = opentelemetry::Context::current_with_span(pay.start(&tracer));
        pay.span()
            .add_event("paid", vec![KeyValue::new("price", 1.5)]);
        let _pay = pay.attach();
        let mut record = logger.create_log_record();
        record.set_severity_number(Severity::Info);
        record.set_body(AnyValue::from(format!("order {number}")));
        logger.emit(record);
        orders.add(1, &[KeyValue::new("kind", i64::from(number % 4))]);
        prices.record(f64::from(number), &[]);
    }

    traces.shutdown()?;
    meters.shutdown()?;
    logs.shutdown()?;
    Ok(())
}
