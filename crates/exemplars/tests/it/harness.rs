//! A meter provider with an exporter that attaches exemplars and keeps the messages.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use exemplars::{Exemplars, Filter, Histogram, Reservoir};
use opentelemetry::{
    Context, ContextGuard, InstrumentationScope,
    metrics::MeterProvider as _,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, exemplar::Value, metric::Data,
    },
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter,
    },
};

pub(crate) const METRIC: &str = "test.duration";
pub(crate) const BOUNDARIES: [f64; 3] = [1.0, 2.0, 4.0];

pub(crate) struct Harness {
    pub(crate) exemplars: Exemplars,
    pub(crate) provider: SdkMeterProvider,
    requests: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

/// The options of a [`Harness`].
pub(crate) struct Setup {
    pub(crate) filter: Filter,
    pub(crate) temporality: Temporality,
    /// The stream of all instruments, if it is not the default.
    pub(crate) view: Option<fn() -> Stream>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            filter: Filter::AlwaysOn,
            temporality: Temporality::Cumulative,
            view: None,
        }
    }
}

impl Setup {
    pub(crate) fn start(self) -> Harness {
        let exemplars = Exemplars::new(self.filter);
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let exporter = Exporter {
            exemplars: exemplars.clone(),
            requests: requests.clone(),
            temporality: self.temporality,
        };
        // The interval is so long that only the test collects.
        let reader = PeriodicReader::builder(exporter)
            .with_interval(Duration::from_hours(1))
            .build();
        let mut provider = SdkMeterProvider::builder().with_reader(reader);
        if let Some(stream) = self.view {
            provider = provider.with_view(move |_: &Instrument| Some(stream()));
        }
        Harness {
            exemplars,
            provider: provider.build(),
            requests,
        }
    }
}

impl Harness {
    pub(crate) fn histogram(&self, reservoir: Reservoir) -> Histogram<f64> {
        let instrument = self
            .provider
            .meter_with_scope(scope())
            .f64_histogram(METRIC)
            .with_boundaries(BOUNDARIES.to_vec())
            .build();
        self.exemplars
            .histogram(&scope(), METRIC, instrument, reservoir)
    }

    pub(crate) fn aligned(&self) -> Histogram<f64> {
        self.histogram(Reservoir::Aligned(BOUNDARIES.to_vec()))
    }

    /// Collects now and returns the message.
    pub(crate) fn collect(&self) -> ExportMetricsServiceRequest {
        self.provider.force_flush().unwrap();
        self.requests.lock().unwrap().pop().unwrap_or_default()
    }

    pub(crate) fn points(&self) -> Vec<HistogramDataPoint> {
        let data = data(self.collect());
        let points = data.into_iter().flat_map(|data| match data {
            Data::Histogram(histogram) => histogram.data_points,
            other => panic!("no explicit histogram: {other:?}"),
        });
        points.collect()
    }

    pub(crate) fn point(&self) -> HistogramDataPoint {
        let [point] = self.points().try_into().unwrap();
        point
    }

    pub(crate) fn exponential_point(&self) -> ExponentialHistogramDataPoint {
        let Some(Data::ExponentialHistogram(mut histogram)) = data(self.collect()).pop() else {
            panic!("no exponential histogram");
        };
        histogram.data_points.pop().unwrap()
    }
}

fn data(request: ExportMetricsServiceRequest) -> Vec<Data> {
    let resources = request.resource_metrics.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics);
    metrics.filter_map(|metric| metric.data).collect()
}

struct Exporter {
    exemplars: Exemplars,
    requests: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    temporality: Temporality,
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut request = ExportMetricsServiceRequest::from(metrics);
        self.exemplars.attach(&mut request);
        self.requests.lock().unwrap().push(request);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("test")
        .with_version("1.2.3")
        .build()
}

pub(crate) fn span(trace: u128, span: u64, flags: TraceFlags) -> SpanContext {
    SpanContext::new(
        TraceId::from(trace),
        SpanId::from(span),
        flags,
        false,
        TraceState::NONE,
    )
}

pub(crate) fn enter(span: SpanContext) -> ContextGuard {
    Context::new().with_remote_span_context(span).attach()
}

pub(crate) fn values(exemplars: &[Exemplar]) -> Vec<f64> {
    let values = exemplars.iter().map(|exemplar| match exemplar.value {
        Some(Value::AsDouble(value)) => value,
        other => panic!("no double: {other:?}"),
    });
    values.collect()
}

/// Attributes as `key=value`.
pub(crate) fn texts(attributes: &[KeyValue]) -> Vec<String> {
    let texts = attributes.iter().map(|attribute| {
        let value = attribute.value.clone().and_then(|value| value.value);
        match value {
            Some(Any::StringValue(value)) => format!("{}={value}", attribute.key),
            Some(Any::BoolValue(value)) => format!("{}={value}", attribute.key),
            other => panic!("neither text nor truth: {other:?}"),
        }
    });
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    texts
}
