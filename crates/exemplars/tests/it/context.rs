//! Tests of the filter, and of the trace ids in exemplars.

use exemplars::Filter;
use opentelemetry::trace::{SpanContext, TraceFlags};

use crate::harness::{Setup, enter, span, values};

fn trace_based() -> Setup {
    Setup {
        filter: Filter::TraceBased,
        ..Setup::default()
    }
}

#[test]
fn an_exemplar_has_the_ids_of_its_sampled_span() {
    let harness = trace_based().start();
    let histogram = harness.aligned();
    {
        let _entered = enter(span(0xabc, 0xdef, TraceFlags::SAMPLED));
        histogram.record(1.5, &[]);
    }
    histogram.record(1.6, &[]);

    let point = harness.point();
    assert_eq!(point.count, 2);
    let [exemplar] = &point.exemplars[..] else {
        panic!("not one: {point:?}");
    };
    assert_eq!(values(&point.exemplars), [1.5]);
    assert_eq!(exemplar.trace_id, 0xabc_u128.to_be_bytes());
    assert_eq!(exemplar.span_id, 0xdef_u64.to_be_bytes());
    assert_eq!(exemplar.filtered_attributes, []);
    let interval = point.start_time_unix_nano..=point.time_unix_nano;
    assert!(interval.contains(&exemplar.time_unix_nano), "{point:?}");
}

#[test]
fn unsampled_and_invalid_spans_are_no_exemplars() {
    let harness = trace_based().start();
    let histogram = harness.aligned();
    {
        let _entered = enter(span(1, 1, TraceFlags::default()));
        histogram.record(0.5, &[]);
    }
    {
        let _entered = enter(span(0, 1, TraceFlags::SAMPLED));
        histogram.record(0.6, &[]);
    }
    histogram.record_in(&span(1, 0, TraceFlags::SAMPLED), 0.7, &[]);
    histogram.record_in(&SpanContext::NONE, 0.8, &[]);

    let point = harness.point();
    assert_eq!(point.count, 4);
    assert_eq!(point.exemplars, []);
}

#[test]
fn a_given_span_replaces_the_current_one() {
    let harness = trace_based().start();
    let histogram = harness.aligned();
    let _entered = enter(span(1, 1, TraceFlags::default()));
    histogram.record_in(&span(2, 3, TraceFlags::SAMPLED), 0.5, &[]);

    let point = harness.point();
    assert_eq!(point.exemplars.len(), 1);
    assert_eq!(point.exemplars[0].trace_id, 2_u128.to_be_bytes());
    assert_eq!(point.exemplars[0].span_id, 3_u64.to_be_bytes());
}

#[test]
fn without_a_trace_the_ids_are_empty() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    histogram.record(0.5, &[]);

    let point = harness.point();
    assert_eq!(values(&point.exemplars), [0.5]);
    assert!(point.exemplars[0].trace_id.is_empty());
    assert!(point.exemplars[0].span_id.is_empty());
}

#[test]
fn always_on_keeps_unsampled_spans_too() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    histogram.record_in(&span(2, 3, TraceFlags::default()), 0.5, &[]);

    assert_eq!(harness.point().exemplars[0].trace_id, 2_u128.to_be_bytes());
}

#[test]
fn always_off_only_records() {
    let harness = Setup {
        filter: Filter::AlwaysOff,
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    let sampled = span(1, 1, TraceFlags::SAMPLED);
    histogram.record_in(&sampled, 0.5, &[]);
    let _entered = enter(sampled);
    histogram.record(0.5, &[]);

    let point = harness.point();
    assert_eq!(point.count, 2);
    assert_eq!(point.exemplars, []);
}
