//! A test of the trace of an event. Telemetry can be set up once in a process, so this is the only test.

use std::sync::{Arc, Mutex};

use clap::Parser;
use e2e::{Collector, collector::text};
use events::Event;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanKind, TraceContextExt as _},
};
use opentelemetry_proto::tonic::trace::v1::{self as otlp, span::SpanKind as Kind};
use telemetry::trace::{Attributes, Span};
use uuid::Uuid;

use crate::harness::{Cluster, Memory, Service, follow, header, registered};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: telemetry::Settings,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_continues_the_trace_of_the_request_and_is_linked_to_the_producer() {
    let collector = Collector::start().await.unwrap();
    let cli = Cli::parse_from([
        "test",
        "--otlp-endpoint",
        &collector.endpoint(),
        "--metric-export-interval=100",
        "--log=off",
    ]);
    let telemetry = telemetry::init(&cli.settings, "test", "1.2.3").unwrap();
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let contexts: Arc<Mutex<Vec<SpanContext>>> = Arc::default();
    let handled_in = Arc::clone(&contexts);
    let seen = Memory::with(move |_, _| {
        let context = Context::current();
        let span = context.span().span_context().clone();
        handled_in.lock().unwrap().push(span);
        Ok(())
    });
    let follower = follow(&cluster.settings(), 10, &seen);

    let mut request = Span::start(&Context::new(), SpanKind::Server, "request");
    let event = Event {
        trace: request.context().clone(),
        ..registered(Uuid::now_v7())
    };
    service.happen(event.clone()).await;
    request.end(request.elapsed(), &Attributes::default(), false);
    seen.has(1).await;
    let trace = request.context().span().span_context().trace_id();
    let received = seen.events();
    assert_eq!(received[0].trace.span().span_context().trace_id(), trace);
    service.drained().await;
    let records = cluster.records(events::USER_TOPIC, 1).await;
    let parent = header(&records[0], "traceparent").unwrap();
    follower.stop().await;
    service.stop().await;
    telemetry.shutdown().await;

    let received = collector.received();
    let find = |name: &str| -> &otlp::Span {
        let spans = received.spans.iter().map(|(_, span)| span);
        // Other tests of this process make spans too.
        let mut found = spans.filter(|span| span.name == name && span.trace_id == trace.to_bytes());
        found.next().unwrap()
    };
    let (request, send, process) = (
        find("request"),
        find("send otelix.user.v1"),
        find("process otelix.user.v1"),
    );
    assert_eq!(send.kind(), Kind::Producer);
    assert_eq!(send.parent_span_id, request.span_id);
    assert!(parent.contains(&hex(&send.span_id)), "{parent}");
    assert_eq!(process.kind(), Kind::Consumer);
    let handled_in: Vec<_> = contexts.lock().unwrap().iter().map(ids).collect();
    assert_eq!(
        handled_in,
        [(process.trace_id.clone(), process.span_id.clone())]
    );
    assert_eq!(process.parent_span_id, send.span_id);
    assert_eq!(process.links.len(), 1);
    assert_eq!(process.links[0].span_id, send.span_id);
    assert_eq!(process.links[0].trace_id, send.trace_id);
    for span in [send, process] {
        let text = |name| text(&span.attributes, name);
        assert_eq!(text("messaging.system"), Some("kafka"));
        assert_eq!(text("messaging.destination.name"), Some("otelix.user.v1"));
        assert_eq!(text("messaging.message.id"), Some(&*event.id.to_string()));
        let operation = span.name.split(' ').next();
        assert_eq!(text("messaging.operation.name"), operation);
        assert_eq!(text("messaging.operation.type"), operation);
    }
    assert!(text(&process.attributes, "messaging.destination.partition.id").is_some());
    let metrics: Vec<&str> = received
        .metrics
        .iter()
        .map(|(_, metric)| metric.name.as_str())
        .collect();
    for metric in [
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "messaging.client.operation.duration",
        "messaging.process.duration",
        "events.outbox.length",
        "events.outbox.oldest.age",
        "events.consumer.duplicates",
        "events.consumer.skipped",
    ] {
        assert!(metrics.contains(&metric), "{metric} is not in {metrics:?}");
    }
}

fn ids(context: &SpanContext) -> (Vec<u8>, Vec<u8>) {
    (
        context.trace_id().to_bytes().to_vec(),
        context.span_id().to_bytes().to_vec(),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
