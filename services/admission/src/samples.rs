//! Requests for tests.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;

use crate::batch::Request;

/// A request of these groups.
pub(crate) fn request(groups: Vec<ResourceMetrics>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: groups,
    }
}

/// The request as its receiver reads it.
pub(crate) fn read(request: &ExportMetricsServiceRequest) -> Request {
    Request::read(request.encode_to_vec().into())
}

/// Gauges of a service: one metric for each list, with one data point for each value, which is an attribute too.
pub(crate) fn group(service: &str, metrics: &[&[i64]]) -> ResourceMetrics {
    let metrics = metrics.iter().enumerate();
    let metrics = metrics.map(|(index, values)| gauge(&format!("metric.{index}"), values));
    of(service, metrics.collect())
}

pub(crate) fn of(service: &str, metrics: Vec<Metric>) -> ResourceMetrics {
    let scope = ScopeMetrics {
        metrics,
        ..ScopeMetrics::default()
    };
    let resource = Resource {
        attributes: vec![attribute("service.name", service)],
        ..Resource::default()
    };
    ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    }
}

pub(crate) fn gauge(name: &str, values: &[i64]) -> Metric {
    let points = values.iter().map(|value| NumberDataPoint {
        attributes: vec![
            attribute("id", &value.to_string()),
            attribute("all", "same"),
        ],
        value: Some(number_data_point::Value::AsInt(*value)),
        ..NumberDataPoint::default()
    });
    Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: points.collect(),
        })),
        ..Metric::default()
    }
}

/// A histogram with this number of bounds.
pub(crate) fn histogram(bounds: u32) -> Metric {
    let point = HistogramDataPoint {
        explicit_bounds: (0..bounds).map(f64::from).collect(),
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram {
        data_points: vec![point],
        ..Histogram::default()
    };
    Metric {
        name: "duration".to_owned(),
        data: Some(Data::Histogram(histogram)),
        ..Metric::default()
    }
}

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(Value::StringValue(value.to_owned()));
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    }
}

/// The values of all data points of gauges, by service.
pub(crate) fn values(request: &[u8]) -> Vec<(String, i64)> {
    let request = ExportMetricsServiceRequest::decode(request).unwrap();
    let mut values = Vec::new();
    for group in &request.resource_metrics {
        let service = &group.resource.as_ref().unwrap().attributes[0];
        let Some(Value::StringValue(service)) = &service.value.as_ref().unwrap().value else {
            panic!("{service:?}");
        };
        for metric in group.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            let Some(Data::Gauge(gauge)) = &metric.data else {
                continue;
            };
            for point in &gauge.data_points {
                if let Some(number_data_point::Value::AsInt(value)) = point.value {
                    values.push((service.clone(), value));
                }
            }
        }
    }
    values
}
