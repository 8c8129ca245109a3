//! Records of unusual shape.

use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValueList, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{
        AggregationTemporality, DataPointFlags, Exemplar, ExponentialHistogram,
        ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    trace::v1::{Span, Status, span::Event, span::Link},
};
use prost::Message as _;

use crate::{
    Target,
    answer::{self, Partial},
    sample::{
        Signal, attribute, logs, metric, metrics, now, point, record, span, span_id, string,
        trace_id, traces,
    },
};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
const DELTA: i32 = AggregationTemporality::Delta as i32;

async fn spans(target: &Target, spans: Vec<Span>) -> anyhow::Result<()> {
    let request = traces(spans).encode_to_vec();
    answer::accepted(target.export(Signal::Traces, request).await?)
}

async fn records(target: &Target, records: Vec<LogRecord>) -> anyhow::Result<()> {
    let request = logs(records).encode_to_vec();
    answer::accepted(target.export(Signal::Logs, request).await?)
}

async fn data(target: &Target, name: &str, data: Data) -> anyhow::Result<()> {
    let accepted = send_metrics(target, vec![metric(name, data)]).await;
    answer::accepted(accepted?).context(name.to_owned())
}

async fn send_metrics(target: &Target, all: Vec<Metric>) -> anyhow::Result<Option<Partial>> {
    let request = metrics(all).encode_to_vec();
    target.export(Signal::Metrics, request).await
}

pub(super) async fn invalid_ids(target: &Target) -> anyhow::Result<()> {
    let with = |trace_id: Vec<u8>, span_id: Vec<u8>| Span {
        trace_id,
        span_id,
        ..span()
    };
    for (what, bad) in [
        ("trace id of 15 bytes", with(vec![1; 15], span_id())),
        ("trace id of zeros", with(vec![0; 16], span_id())),
        ("no trace id", with(Vec::new(), span_id())),
        ("span id of 7 bytes", with(trace_id(), vec![1; 7])),
        ("span id of zeros", with(trace_id(), vec![0; 8])),
        ("no span id", with(trace_id(), Vec::new())),
    ] {
        let request = traces(vec![span(), bad, span()]).encode_to_vec();
        let partial = target.export(Signal::Traces, request).await.context(what)?;
        match partial {
            Some(Partial { rejected: 1, .. }) => {}
            other => bail!("{what}: not exactly 1 of 3 spans rejected: {other:?}"),
        }
    }
    Ok(())
}

pub(super) async fn odd_trees(target: &Target) -> anyhow::Result<()> {
    let trace = trace_id();
    let with = |span_id: Vec<u8>, parent_span_id: Vec<u8>| Span {
        trace_id: trace.clone(),
        span_id,
        parent_span_id,
        ..span()
    };
    let (root, own, one, two) = (span_id(), span_id(), span_id(), span_id());
    let child_first = [with(span_id(), root.clone()), with(root, Vec::new())];
    let orphan = with(span_id(), span_id());
    let own_parent = with(own.clone(), own);
    let cycle = [with(one.clone(), two.clone()), with(two, one)];
    let mut all = Vec::from(child_first);
    all.extend([orphan, own_parent]);
    all.extend(cycle);
    spans(target, all).await
}

pub(super) async fn odd_times(target: &Target) -> anyhow::Result<()> {
    let now = now();
    let with = |start_time_unix_nano: u64, end_time_unix_nano: u64| Span {
        start_time_unix_nano,
        end_time_unix_nano,
        ..span()
    };
    let parent = span();
    let early = Span {
        trace_id: parent.trace_id.clone(),
        parent_span_id: parent.span_id.clone(),
        ..with(now - 5_000_000_000, now - 4_000_000_000)
    };
    let all = vec![
        with(now, now - 1),
        with(now, 0),
        with(0, now),
        with(0, 0),
        with(u64::MAX, u64::MAX),
        parent,
        early,
    ];
    spans(target, all).await
}

pub(super) async fn full_span(target: &Target) -> anyhow::Result<()> {
    let attributes = vec![attribute("key", string("value"))];
    let full = Span {
        trace_state: "vendor=value".to_owned(),
        flags: 0x301,
        kind: 5,
        dropped_attributes_count: 1,
        dropped_events_count: 2,
        dropped_links_count: 3,
        attributes: attributes.clone(),
        events: vec![Event {
            time_unix_nano: now(),
            name: "exception".to_owned(),
            attributes: attributes.clone(),
            dropped_attributes_count: 4,
        }],
        links: vec![Link {
            trace_id: trace_id(),
            span_id: span_id(),
            trace_state: "vendor=value".to_owned(),
            attributes,
            dropped_attributes_count: 5,
            flags: 0x100,
        }],
        status: Some(Status {
            message: "failed".to_owned(),
            code: 2,
        }),
        ..span()
    };
    let mut request = traces(vec![full]);
    for resource in &mut request.resource_spans {
        "https://opentelemetry.io/schemas/1.38.0".clone_into(&mut resource.schema_url);
        for scope in &mut resource.scope_spans {
            resource.schema_url.clone_into(&mut scope.schema_url);
        }
    }
    let request = request.encode_to_vec();
    answer::accepted(target.export(Signal::Traces, request).await?)
}

pub(super) async fn odd_records(target: &Target) -> anyhow::Result<()> {
    let structured = AnyValue {
        value: Some(Value::KvlistValue(KeyValueList {
            values: vec![
                attribute("list", list(vec![string("one"), AnyValue::default()])),
                attribute("bytes", value(Value::BytesValue(vec![0, 255]))),
            ],
        })),
    };
    let all = vec![
        LogRecord {
            event_name: "conformance.event".to_owned(),
            ..record()
        },
        LogRecord {
            time_unix_nano: 0,
            ..record()
        },
        LogRecord {
            body: None,
            ..record()
        },
        LogRecord {
            body: Some(structured),
            ..record()
        },
        LogRecord {
            severity_number: 0,
            severity_text: String::new(),
            ..record()
        },
        LogRecord {
            span_id: Vec::new(),
            ..record()
        },
        LogRecord {
            trace_id: Vec::new(),
            span_id: Vec::new(),
            ..record()
        },
        LogRecord::default(),
    ];
    records(target, all).await
}

pub(super) async fn records_with_invalid_ids(target: &Target) -> anyhow::Result<()> {
    let with = |trace_id: Vec<u8>, span_id: Vec<u8>| LogRecord {
        trace_id,
        span_id,
        ..record()
    };
    let all = vec![
        with(vec![0; 16], vec![0; 8]),
        with(vec![1; 15], vec![1; 8]),
        with(trace_id(), vec![1; 7]),
    ];
    records(target, all).await
}

pub(super) async fn exponential(target: &Target) -> anyhow::Result<()> {
    let buckets = |offset: i32, bucket_counts: &[u64]| {
        Some(Buckets {
            offset,
            bucket_counts: bucket_counts.to_vec(),
        })
    };
    for (name, point) in [
        ("scale_-10", exponential_point(-10, buckets(0, &[1, 1]))),
        ("scale_0", exponential_point(0, buckets(-3, &[1, 0, 1]))),
        ("scale_20", exponential_point(20, buckets(1_000, &[2]))),
        (
            "negative",
            ExponentialHistogramDataPoint {
                negative: buckets(-1, &[1, 1]),
                count: 4,
                ..exponential_point(3, buckets(2, &[2]))
            },
        ),
        (
            "zero",
            ExponentialHistogramDataPoint {
                zero_count: 3,
                zero_threshold: 0.001,
                count: 3,
                min: Some(0.0),
                max: Some(0.0005),
                ..exponential_point(3, None)
            },
        ),
        (
            "empty",
            ExponentialHistogramDataPoint {
                count: 0,
                sum: Some(0.0),
                ..exponential_point(3, buckets(0, &[]))
            },
        ),
    ] {
        for temporality in [CUMULATIVE, DELTA] {
            exponential_histogram(target, name, temporality, vec![point.clone()]).await?;
        }
    }
    Ok(())
}

pub(super) async fn exponential_changes(target: &Target) -> anyhow::Result<()> {
    let name = "changing_exponential";
    let buckets = |count: u64| {
        Some(Buckets {
            offset: 0,
            bucket_counts: vec![count, count],
        })
    };
    // The last point begins again, with a later start.
    for (scale, count, zero_threshold) in [(5, 2, 0.0), (3, 3, 0.001), (4, 1, 0.01)] {
        let point = ExponentialHistogramDataPoint {
            zero_threshold,
            start_time_unix_nano: now() - 1_000,
            ..exponential_point(scale, buckets(count))
        };
        exponential_histogram(target, name, CUMULATIVE, vec![point]).await?;
    }
    Ok(())
}

async fn exponential_histogram(
    target: &Target,
    name: &str,
    aggregation_temporality: i32,
    data_points: Vec<ExponentialHistogramDataPoint>,
) -> anyhow::Result<()> {
    let histogram = ExponentialHistogram {
        data_points,
        aggregation_temporality,
    };
    // One metric has one temporality.
    let name = format!("conformance.{name}.{aggregation_temporality}");
    data(target, &name, Data::ExponentialHistogram(histogram)).await
}

/// A point with these positive buckets.
fn exponential_point(scale: i32, positive: Option<Buckets>) -> ExponentialHistogramDataPoint {
    let now = now();
    let count = positive
        .as_ref()
        .map_or(0, |buckets| buckets.bucket_counts.iter().sum());
    ExponentialHistogramDataPoint {
        start_time_unix_nano: now - 1_000_000_000,
        time_unix_nano: now,
        count,
        sum: Some(count as f64),
        scale,
        positive,
        ..ExponentialHistogramDataPoint::default()
    }
}

pub(super) async fn histograms(target: &Target) -> anyhow::Result<()> {
    let point = |bounds: &[f64], counts: &[u64]| {
        let now = now();
        HistogramDataPoint {
            start_time_unix_nano: now - 1_000_000_000,
            time_unix_nano: now,
            count: counts.iter().sum(),
            sum: Some(1.0),
            explicit_bounds: bounds.to_vec(),
            bucket_counts: counts.to_vec(),
            ..HistogramDataPoint::default()
        }
    };
    let without_buckets = HistogramDataPoint {
        count: 3,
        ..point(&[], &[])
    };
    let without_sum = HistogramDataPoint {
        sum: None,
        ..point(&[1.0, 2.0], &[1, 1, 1])
    };
    for (name, points) in [
        ("conformance.one_bucket", vec![point(&[], &[3])]),
        ("conformance.no_buckets", vec![without_buckets]),
        ("conformance.no_sum", vec![without_sum]),
        ("conformance.bounds", vec![point(&[1.0, 2.0], &[1, 1, 1])]),
        ("conformance.bounds", vec![point(&[1.0, 5.0], &[1, 1, 2])]),
    ] {
        let histogram = Histogram {
            data_points: points,
            aggregation_temporality: CUMULATIVE,
        };
        data(target, name, Data::Histogram(histogram)).await?;
    }
    Ok(())
}

pub(super) async fn odd_points(target: &Target) -> anyhow::Result<()> {
    let gap = NumberDataPoint {
        flags: DataPointFlags::NoRecordedValueMask as u32,
        value: None,
        ..point(double(0.0))
    };
    let gauge = Gauge {
        data_points: vec![gap],
    };
    data(target, "conformance.gap", Data::Gauge(gauge)).await?;

    let mixed = Gauge {
        data_points: vec![
            point(number_data_point::Value::AsInt(1)),
            NumberDataPoint {
                attributes: vec![attribute("kind", string("double"))],
                ..point(double(1.5))
            },
        ],
    };
    data(target, "conformance.mixed", Data::Gauge(mixed)).await?;

    let sum = Sum {
        data_points: vec![point(double(-3.0))],
        aggregation_temporality: CUMULATIVE,
        is_monotonic: false,
    };
    data(target, "conformance.up_down", Data::Sum(sum)).await
}

pub(super) async fn summary(target: &Target) -> anyhow::Result<()> {
    let now = now();
    let quantile = |quantile: f64, value: f64| ValueAtQuantile { quantile, value };
    let summary = Summary {
        data_points: vec![SummaryDataPoint {
            start_time_unix_nano: now - 1_000_000_000,
            time_unix_nano: now,
            count: 10,
            sum: 12.5,
            quantile_values: vec![quantile(0.0, 0.5), quantile(0.5, 1.0), quantile(1.0, 2.0)],
            ..SummaryDataPoint::default()
        }],
    };
    data(target, "conformance.summary", Data::Summary(summary)).await
}

pub(super) async fn no_temporality(target: &Target) -> anyhow::Result<()> {
    let sum = Sum {
        data_points: vec![point(double(3.0))],
        aggregation_temporality: AggregationTemporality::Unspecified as i32,
        is_monotonic: true,
    };
    let sum = metric("conformance.no_temporality", Data::Sum(sum));
    match send_metrics(target, vec![sum]).await? {
        Some(Partial {
            rejected: 0,
            message,
        }) if !message.is_empty() => Ok(()),
        other => bail!("not a warning with 0 rejected and a message: {other:?}"),
    }
}

pub(super) async fn exemplars(target: &Target) -> anyhow::Result<()> {
    let exemplar = |value: exemplar::Value, trace_id: Vec<u8>, span_id: Vec<u8>| Exemplar {
        time_unix_nano: now(),
        value: Some(value),
        trace_id,
        span_id,
        filtered_attributes: vec![attribute("user", string("one"))],
    };
    let histogram = Histogram {
        data_points: vec![HistogramDataPoint {
            start_time_unix_nano: now() - 1_000_000_000,
            time_unix_nano: now(),
            count: 3,
            sum: Some(6.0),
            explicit_bounds: vec![2.0],
            bucket_counts: vec![2, 1],
            exemplars: vec![
                exemplar(exemplar::Value::AsInt(2), trace_id(), span_id()),
                exemplar(exemplar::Value::AsDouble(1.5), trace_id(), span_id()),
                exemplar(exemplar::Value::AsDouble(2.5), Vec::new(), Vec::new()),
            ],
            ..HistogramDataPoint::default()
        }],
        aggregation_temporality: CUMULATIVE,
    };
    data(target, "conformance.exemplars", Data::Histogram(histogram)).await
}

fn double(value: f64) -> number_data_point::Value {
    number_data_point::Value::AsDouble(value)
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn list(values: Vec<AnyValue>) -> AnyValue {
    value(Value::ArrayValue(ArrayValue { values }))
}

/// Any kind of value in any attribute.
pub(super) async fn values(target: &Target) -> anyhow::Result<()> {
    let inner = KeyValueList {
        values: vec![attribute("deep", list(vec![AnyValue::default()]))],
    };
    let attributes = vec![
        attribute("empty", AnyValue::default()),
        attribute("bytes", value(Value::BytesValue(vec![0, 255]))),
        attribute("nested", list(vec![list(Vec::new()), string("x")])),
        attribute("list", value(Value::KvlistValue(inner))),
    ];
    let with_span = Span {
        attributes: attributes.clone(),
        ..span()
    };
    spans(target, vec![with_span]).await.context("span")?;
    let with_record = LogRecord {
        attributes: attributes.clone(),
        ..record()
    };
    records(target, vec![with_record])
        .await
        .context("log record")?;
    let with_point = NumberDataPoint {
        attributes,
        ..point(double(1.0))
    };
    let gauge = Gauge {
        data_points: vec![with_point],
    };
    data(target, "conformance.values", Data::Gauge(gauge)).await
}
