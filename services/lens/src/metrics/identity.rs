//! The identity of series: resource, scope, metric and attributes.
//!
//! Ids are hashes of the identity with a fixed seed, so a series has the same id after a restart, and
//! its URL stays valid.

use std::{hash::BuildHasher as _, mem, sync::Arc};

use foldhash::quality::FixedState;
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue, KeyValueList, any_value},
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
};
use prost::Message as _;

use crate::metrics::size;

/// The type of a metric.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A sampled value.
    Gauge,
    /// A sum that rises and falls.
    Sum,
    /// A sum that never falls: a monotonic sum.
    Counter,
    /// A histogram with explicit bounds.
    Histogram,
    /// An exponential histogram.
    ExponentialHistogram,
    /// Quantiles that the client has calculated.
    Summary,
}

/// The meaning of a point's start time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Temporality {
    /// The metric has none, or the client has not said it, which OTLP forbids.
    Unspecified,
    /// A point has the values since the previous point.
    Delta,
    /// A point has all values since a start that many points share.
    Cumulative,
}

/// A resource with an instrumentation scope.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The resource as an encoded message.
    resource: Box<[u8]>,
    /// The scope as an encoded message.
    scope: Box<[u8]>,
    /// The attribute `service.name`.
    pub(super) service: Box<str>,
    /// What the first request said besides. It is no part of the identity.
    pub(super) resource_extra: Extra,
    pub(super) scope_extra: Extra,
}

/// What a resource or a scope has that does not identify it.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    pub(super) schema_url: Box<str>,
    dropped_attributes: u32,
}

/// A metric of a source.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) source: Arc<Source>,
    pub(super) name: Box<str>,
    pub(super) unit: Box<str>,
    /// The description of the first request. It is no part of the identity.
    pub(super) description: Box<str>,
    /// The metadata of the first request as an encoded `KeyValueList`. It is no part of the identity.
    pub(super) metadata: Box<[u8]>,
    pub(super) kind: Kind,
    pub(super) temporality: Temporality,
}

/// The identifying fields of a metric, as received.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Header<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) kind: Kind,
    pub(super) temporality: Temporality,
}

impl Source {
    pub(super) fn new(group: &ResourceMetrics, scoped: &ScopeMetrics) -> Self {
        let mut resource = group.resource.clone().unwrap_or_default();
        resource
            .attributes
            .sort_by(|one, other| one.key.cmp(&other.key));
        let resource_extra = Extra {
            schema_url: group.schema_url.as_str().into(),
            dropped_attributes: mem::take(&mut resource.dropped_attributes_count),
        };
        let mut scope = scoped.scope.clone().unwrap_or_default();
        scope
            .attributes
            .sort_by(|one, other| one.key.cmp(&other.key));
        let scope_extra = Extra {
            schema_url: scoped.schema_url.as_str().into(),
            dropped_attributes: mem::take(&mut scope.dropped_attributes_count),
        };
        Self {
            service: service(&resource.attributes).into(),
            resource: resource.encode_to_vec().into(),
            scope: scope.encode_to_vec().into(),
            resource_extra,
            scope_extra,
        }
    }

    /// Whether the identity is the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.resource == other.resource && self.scope == other.scope
    }

    pub(super) fn id(&self) -> u64 {
        hash((&self.resource, &self.scope))
    }

    pub(super) fn resource(&self) -> Resource {
        let resource = Resource::decode(&*self.resource).unwrap_or_default();
        Resource {
            dropped_attributes_count: self.resource_extra.dropped_attributes,
            ..resource
        }
    }

    pub(super) fn scope(&self) -> InstrumentationScope {
        let scope = InstrumentationScope::decode(&*self.scope).unwrap_or_default();
        InstrumentationScope {
            dropped_attributes_count: self.scope_extra.dropped_attributes,
            ..scope
        }
    }

    /// The bytes of the source in an `Arc`.
    pub(super) fn bytes(&self) -> usize {
        size::block(size_of::<Self>() + 16)
            + size::block(self.resource.len())
            + size::block(self.scope.len())
            + size::block(self.service.len())
            + size::block(self.resource_extra.schema_url.len())
            + size::block(self.scope_extra.schema_url.len())
    }
}

impl Metric {
    pub(super) fn has(&self, header: Header<'_>) -> bool {
        *self.name == *header.name
            && *self.unit == *header.unit
            && self.kind == header.kind
            && self.temporality == header.temporality
    }

    pub(super) fn header(&self) -> Header<'_> {
        Header {
            name: &self.name,
            unit: &self.unit,
            kind: self.kind,
            temporality: self.temporality,
        }
    }

    /// The bytes of a metric in an `Arc`, without its source.
    pub(super) fn bytes(header: Header<'_>, description: &str, metadata: &[u8]) -> usize {
        size::block(size_of::<Self>() + 16)
            + size::block(header.name.len())
            + size::block(header.unit.len())
            + size::block(description.len())
            + size::block(metadata.len())
    }
}

impl Header<'_> {
    pub(super) fn id(self, source: u64) -> u64 {
        hash((source, self))
    }
}

/// The id of the series of a metric that has these encoded attributes.
pub(super) fn series_id(metric: u64, attributes: &[u8]) -> u64 {
    hash((metric, attributes))
}

/// Encodes attributes as a `KeyValueList`, sorted by key: equal sets have equal bytes.
pub(super) fn encode(attributes: &[KeyValue], into: &mut Vec<u8>) {
    /// Tag of the field `values` with the wire type of a message.
    const VALUES: u8 = 1 << 3 | 2;

    let mut sorted: Vec<_> = attributes.iter().collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    into.clear();
    into.reserve(attributes.iter().map(|one| one.encoded_len() + 6).sum());
    for attribute in sorted {
        into.push(VALUES);
        attribute
            .encode_length_delimited(into)
            .expect("a vector grows as needed");
    }
}

/// The attributes that [`encode`] has written.
pub(super) fn decode(attributes: &[u8]) -> Vec<KeyValue> {
    KeyValueList::decode(attributes).unwrap_or_default().values
}

/// The service of a resource. Empty if it is not said.
fn service(attributes: &[KeyValue]) -> &str {
    let name = attributes.iter().find(|one| one.key == "service.name");
    match name.and_then(|name| name.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(name)) => name,
        _ => "",
    }
}

fn hash(value: impl std::hash::Hash) -> u64 {
    FixedState::default().hash_one(value)
}
