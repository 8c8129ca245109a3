//! Parts of a request: what is removed from it, and how it is divided.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data},
};

use crate::series::{Dropped, Reason};

/// The name of a service without one, as in OpenTelemetry's SDKs.
const UNKNOWN: &str = "unknown_service";

/// A request, or a part of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch(Vec<ResourceMetrics>);

impl From<ExportMetricsServiceRequest> for Batch {
    fn from(request: ExportMetricsServiceRequest) -> Self {
        Self(request.resource_metrics)
    }
}

impl From<Batch> for ExportMetricsServiceRequest {
    fn from(batch: Batch) -> Self {
        Self {
            resource_metrics: batch.0,
        }
    }
}

impl Batch {
    /// The number of data points by service.
    pub(crate) fn count(&self, reason: Reason) -> Dropped {
        let mut counts = Dropped::new();
        for group in &self.0 {
            *counts.entry((service(group), reason)).or_default() += points_of(group);
        }
        counts
    }

    /// Removes the data points with a reason, and counts them. There is one for each data point, in their order.
    pub(crate) fn remove(&mut self, reasons: &[Option<Reason>]) -> Dropped {
        let mut reasons = reasons.iter().copied();
        let mut counts = Dropped::new();
        self.0.retain_mut(|group| {
            let service = service(group);
            let mut stays = || match reasons.next().flatten() {
                Some(reason) => {
                    *counts.entry((service.clone(), reason)).or_default() += 1;
                    false
                }
                None => true,
            };
            group.scope_metrics.retain_mut(|scope| {
                scope.metrics.retain_mut(|metric| {
                    retain(metric, &mut stays);
                    points_in(metric) > 0
                });
                !scope.metrics.is_empty()
            });
            !group.scope_metrics.is_empty()
        });
        counts
    }

    /// Puts the data of each service together, so that services are the first that [`Batch::divide`] separates.
    pub(crate) fn sort(&mut self) {
        self.0.sort_by_cached_key(service);
    }

    /// The service of all data points, if they have one.
    pub(crate) fn service(&self) -> Option<String> {
        let first = self.0.first().map(service)?;
        let is_only = self.0.last().map(service).as_ref() == Some(&first);
        is_only.then_some(first)
    }

    /// Divides a sorted batch into two, between services if there are several. `None` if it has one data point or none.
    pub(crate) fn divide(mut self) -> Option<(Self, Self)> {
        if self.service().is_none() {
            return self.between_services();
        }
        self.0.retain(|group| points_of(group) > 0);
        if self.0.len() > 1 {
            let rest = self.0.split_off(self.0.len() / 2);
            return Some((self, Self(rest)));
        }
        let mut group = self.0.pop()?;
        let rest = divide_group(&mut group)?;
        Some((Self(vec![group]), Self(vec![rest])))
    }

    /// At the boundary between two services that is next to the middle.
    fn between_services(mut self) -> Option<(Self, Self)> {
        let middle = self.0.len() / 2;
        let names = self.0.iter().map(service).collect::<Vec<_>>();
        let boundaries = (1..names.len()).filter(|&at| names[at - 1] != names[at]);
        let at = boundaries.min_by_key(|at| at.abs_diff(middle))?;
        let rest = self.0.split_off(at);
        Some((self, Self(rest)))
    }
}

fn divide_group(group: &mut ResourceMetrics) -> Option<ResourceMetrics> {
    let scopes = &mut group.scope_metrics;
    scopes.retain(|scope| scope.metrics.iter().any(|metric| points_in(metric) > 0));
    let rest = match scopes.as_mut_slice() {
        [] => return None,
        [scope] => vec![divide_scope(scope)?],
        several => {
            let half = several.len() / 2;
            scopes.split_off(half)
        }
    };
    Some(ResourceMetrics {
        resource: group.resource.clone(),
        scope_metrics: rest,
        schema_url: group.schema_url.clone(),
    })
}

fn divide_scope(scope: &mut ScopeMetrics) -> Option<ScopeMetrics> {
    let metrics = &mut scope.metrics;
    metrics.retain(|metric| points_in(metric) > 0);
    let rest = match metrics.as_mut_slice() {
        [] => return None,
        [metric] => vec![divide_metric(metric)?],
        several => {
            let half = several.len() / 2;
            metrics.split_off(half)
        }
    };
    Some(ScopeMetrics {
        scope: scope.scope.clone(),
        metrics: rest,
        schema_url: scope.schema_url.clone(),
    })
}

fn divide_metric(metric: &mut Metric) -> Option<Metric> {
    let half = points_in(metric) / 2;
    if half == 0 {
        return None;
    }
    let mut rest = metric.clone();
    let (mut first, mut second) = (0, 0);
    retain(metric, &mut || {
        first += 1;
        first <= half
    });
    retain(&mut rest, &mut || {
        second += 1;
        second > half
    });
    Some(rest)
}

/// The service of a resource, with its namespace: the label `job` in Prometheus.
pub(crate) fn service(group: &ResourceMetrics) -> String {
    let attributes = group
        .resource
        .as_ref()
        .map_or(&[][..], |resource| &resource.attributes);
    let name = text(attributes, "service.name").unwrap_or(UNKNOWN);
    match text(attributes, "service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn points_of(group: &ResourceMetrics) -> u64 {
    let metrics = group.scope_metrics.iter().flat_map(|scope| &scope.metrics);
    metrics.map(points_in).sum()
}

fn points_in(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    points as u64
}

/// Keeps the data points for which `stays` says so. It is asked once for each, in their order.
fn retain(metric: &mut Metric, stays: &mut impl FnMut() -> bool) {
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.retain(|_| stays()),
        Some(Data::Sum(sum)) => sum.data_points.retain(|_| stays()),
        Some(Data::Histogram(histogram)) => histogram.data_points.retain(|_| stays()),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.retain(|_| stays()),
        Some(Data::Summary(summary)) => summary.data_points.retain(|_| stays()),
        None => {}
    }
}

#[cfg(test)]
mod tests;
