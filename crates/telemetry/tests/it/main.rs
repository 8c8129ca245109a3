//! A test of the exported telemetry, as a collector receives it. Telemetry can be set up once in a process, so this
//! is the only test.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

use std::time::Duration;

use clap::Parser;
use e2e::{
    Collector,
    collector::{Received, body, text},
};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    trace::{SpanKind, TraceContextExt as _},
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use telemetry::{
    Service, Settings, metrics,
    trace::{Attributes, Span},
};

const HUGE: usize = 10 << 20;
const LIMIT: usize = 4096;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_invalid_values_are_exported_safely() {
    let collector = Collector::start().await.unwrap();
    let cli = Cli::parse_from(["test", "--otlp-endpoint", &collector.endpoint()]);
    let telemetry = telemetry::init(&cli.settings, "test", "1.2.3").unwrap();

    let huge = "€".repeat(HUGE / 3);
    let name = KeyValue::new("huge", huge.clone());
    let mut span = Span::start(&Context::new(), SpanKind::Internal, "of our own");
    let context = span.context().clone();
    {
        let _guard = context.clone().attach();
        let invalid: &[u8] = b"\xff\xfe\x80";
        tracing::info!(huge, invalid, "with fields");
        tracing::info!("a message of {huge}");
        let nested = tracing::info_span!("of tracing", huge);
        nested.in_scope(|| {
            let event = KeyValue::new("huge", huge.clone());
            Context::current().span().add_event("event", vec![event]);
            tracing::info!("nul \0 and bell \x07");
        });
    }
    let blocking = async {
        telemetry::spawn_blocking(|| {
            tracing::info!("blocking work");
            telemetry::current_trace_id()
        })
        .await
    };
    let id = blocking.with_context(context.clone()).await.unwrap();
    assert_eq!(id, context.span().span_context().trace_id().to_string());
    span.end(Duration::ZERO, &Attributes::new(vec![name]), false);
    Service::named("shop").run(work_of_a_service()).await;
    tokio::time::timeout(Duration::from_secs(20), telemetry.shutdown())
        .await
        .unwrap();

    let received = collector.received();
    spans(&received);
    logs(&received);
    of_the_service(&received);
}

/// Makes spans, a log record and a metric in a task and in a callback.
async fn work_of_a_service() {
    let remote = Context::new();
    let mut span = Span::start(&remote, SpanKind::Consumer, "shop: of our own");
    let context = span.context().clone();
    let task = async {
        telemetry::spawn(async {
            let inner = tracing::info_span!("shop: of tracing");
            inner.in_scope(|| tracing::info!("shop: in both spans"));
            let mut span = Span::internal("shop: inner");
            span.end(Duration::ZERO, &Attributes::default(), false);
        })
        .await;
    };
    task.with_context(context).await;
    span.end(Duration::ZERO, &Attributes::default(), false);
    metrics::USER_REGISTRATIONS.counter("shop").add(1, &[]);
    let service = Service::current();
    let callback = move || {
        let _scope = service.enter();
        tracing::info!("shop: in a callback");
    };
    std::thread::spawn(callback).join().unwrap();
}

/// All items of the service, and no other, have its name. All other attributes are those of the process.
fn of_the_service(received: &Received) {
    let spans = received.spans.iter();
    let spans = spans.map(|(service, span)| (service, &*span.name));
    let logs = received.logs.iter();
    let logs = logs.map(|(service, record)| (service, body(record)));
    let metrics = received.metrics.iter();
    let metrics = metrics.map(|(service, metric)| (service, &*metric.name));
    let mut names = Vec::new();
    for (service, name) in spans.chain(logs).chain(metrics) {
        let is_of_the_shop = name.starts_with("shop: ") || name == "user.registrations";
        let expected = if is_of_the_shop { "shop" } else { "test" };
        assert_eq!(service, expected, "{name}");
        names.extend(is_of_the_shop.then_some(name));
    }
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "shop: in a callback",
            "shop: in both spans",
            "shop: inner",
            "shop: of our own",
            "shop: of tracing",
            "user.registrations",
        ]
    );
    let marks = format!("{received:?}");
    assert!(!marks.contains("otelix.service"));
}

fn spans(received: &Received) {
    let find = |name: &str| {
        let found = received.spans.iter().find(|(_, span)| span.name == name);
        &found.unwrap().1
    };
    let (outer, inner) = (find("of our own"), find("of tracing"));
    assert_eq!(inner.parent_span_id, outer.span_id);
    for attributes in [
        &outer.attributes,
        &inner.attributes,
        &inner.events[0].attributes,
    ] {
        assert_eq!(text(attributes, "huge").unwrap().chars().count(), LIMIT);
    }
}

fn logs(received: &Received) {
    let of_the_process = received
        .logs
        .iter()
        .filter(|(service, _)| service == "test");
    let records: Vec<_> = of_the_process.map(|(_, record)| record).collect();
    assert_eq!(records.len(), 4, "{records:#?}");
    let of_the_process = received.spans.iter().find(|(service, _)| service == "test");
    let trace = &of_the_process.unwrap().1.trace_id;
    for record in &records {
        assert_eq!(record.trace_id, *trace);
        assert_eq!(record.span_id.len(), 8);
    }
    let body = |index: usize| body(records[index]);
    assert_eq!(body(0), "with fields");
    let huge = text(&records[0].attributes, "huge").unwrap();
    assert_eq!(huge.chars().count(), LIMIT);
    let invalid = records[0].attributes.iter().find(|a| a.key == "invalid");
    let invalid = invalid.unwrap().value.as_ref().unwrap().value.as_ref();
    assert_eq!(invalid, Some(&Value::BytesValue(b"\xff\xfe\x80".to_vec())));
    assert!(body(1).starts_with("a message of €"));
    assert_eq!(body(1).chars().count(), LIMIT);
    assert_eq!(body(2), "nul \0 and bell \x07");
    assert_eq!(body(3), "blocking work");
}
