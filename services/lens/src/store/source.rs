//! Resources and scopes of stored records.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message as _;

use super::{
    insert::service_name,
    segment::{Origin, Segment},
};

/// The source of spans or log records.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The `service.name` of the resource. Empty if it has none.
    pub service: String,
    /// The resource. `None` if the request had none.
    pub resource: Option<Resource>,
    /// Schema of the resource, or empty.
    pub resource_schema_url: String,
    /// The instrumentation scope. `None` if the request had none.
    pub scope: Option<InstrumentationScope>,
    /// Schema of the scope and its records, or empty.
    pub scope_schema_url: String,
}

/// Decodes each source once.
#[derive(Default)]
pub(super) struct Sources<'a> {
    /// Sources by encoded resource and scope.
    known: HashMap<(&'a [u8], &'a [u8]), Arc<Source>, RandomState>,
    /// The last source: number of the segment, and origin.
    last: Option<(u32, Origin, Arc<Source>)>,
}

impl<'a> Sources<'a> {
    pub(super) fn get<C>(&mut self, segment: &'a Segment<C>, origin: Origin) -> Arc<Source> {
        if let Some((number, last, source)) = &self.last
            && (*number, *last) == (segment.number, origin)
        {
            return source.clone();
        }
        let resource = segment.messages.get(origin.resource);
        let scope = segment.messages.get(origin.scope);
        let source = self
            .known
            .entry((resource, scope))
            .or_insert_with(|| Arc::new(Source::decode(resource, scope)))
            .clone();
        self.last = Some((segment.number, origin, source.clone()));
        source
    }
}

impl Source {
    fn decode(resource: &[u8], scope: &[u8]) -> Self {
        let resource = ResourceSpans::decode(resource).unwrap_or_default();
        let scope = ScopeSpans::decode(scope).unwrap_or_default();
        Self {
            service: service_name(resource.resource.as_ref()).to_owned(),
            resource: resource.resource,
            resource_schema_url: resource.schema_url,
            scope: scope.scope,
            scope_schema_url: scope.schema_url,
        }
    }
}
