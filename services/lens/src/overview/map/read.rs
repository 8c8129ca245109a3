//! Reads spans for the map of services.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{
    Coverage, Found, Sum,
    peers::{self, Other},
};
use crate::{
    overview::names::Names,
    store::{SpanId, Spans, TraceId},
};

/// Maximum number of spans that are read.
const SPANS: usize = 100_000;

/// Maximum number of spans whose attributes are read.
const READ: usize = 20_000;

/// Maximum number of services.
const SERVICES: usize = 1_000;

/// Maximum number of other sides.
const OTHERS: usize = 2_000;

type Id = (TraceId, SpanId);

/// Service and kind of the spans.
type Ids = HashMap<Id, (usize, SpanKind), RandomState>;

pub(super) fn read(spans: &Spans) -> (Found, Coverage) {
    let mut coverage = Coverage::default();
    let mut names = Names::new(SERVICES);
    let mut ids = Ids::default();
    let mut traces: HashSet<TraceId, RandomState> = HashSet::default();
    for span in spans.newest_first() {
        if coverage.spans == SPANS {
            coverage.is_cut = true;
            break;
        }
        coverage.spans += 1;
        traces.insert(span.trace);
        if let Some(service) = names.number(span.service) {
            ids.insert((span.trace, span.span), (service, span.kind));
        }
    }
    coverage.traces = traces.len();
    drop(traces);

    let mut found = Found::default();
    let services: Vec<usize> = names.all().iter().map(|name| found.service(name)).collect();
    let mut calls: HashMap<(usize, usize), Sum> = HashMap::new();
    // Calls whose server sent a span, by the id of the client's.
    let mut answered: HashMap<Id, usize, RandomState> = HashMap::default();
    // Consumers without an own parent in another service may link to the producer.
    let mut handed: HashMap<Id, (usize, usize, bool, u64), RandomState> = HashMap::default();
    for span in spans.newest_first().take(SPANS) {
        let id = (span.trace, span.span);
        let Some(&(service, kind)) = ids.get(&id) else {
            continue;
        };
        let Some(parent) = span.parent.map(|parent| (span.trace, parent)) else {
            continue;
        };
        let Some(&(caller, caller_kind)) = ids.get(&parent) else {
            continue;
        };
        if caller == service {
            continue;
        }
        if kind == SpanKind::Consumer || caller_kind == SpanKind::Producer {
            handed.insert(id, (caller, service, span.error, span.duration));
        } else {
            answered.insert(parent, service);
            let sum = calls.entry((caller, service)).or_default();
            sum.add(span.error, span.duration);
        }
    }
    for (span, trace, linked) in spans.links() {
        let id = (span.trace, span.span);
        if span.kind == SpanKind::Consumer
            && let Some(&(service, _)) = ids.get(&id)
            && let Some(&(caller, SpanKind::Producer)) = ids.get(&(trace, linked))
        {
            handed
                .entry(id)
                .or_insert((caller, service, span.error, span.duration));
        }
    }

    let mut others: HashMap<(usize, Other), Sum, RandomState> = HashMap::default();
    // The service behind an address as a caller sees it. `None` if there are several.
    let mut behind: HashMap<(usize, Other), Option<usize>, RandomState> = HashMap::default();
    let mut clients = 0;
    spans.attributes(
        peers::KEYS,
        |span| {
            let is_client = matches!(
                span.kind,
                SpanKind::Client | SpanKind::Producer | SpanKind::Consumer
            );
            if !is_client || !ids.contains_key(&(span.trace, span.span)) {
                return false;
            }
            clients += 1;
            clients <= READ
        },
        |span, values| {
            coverage.read += 1;
            let id = (span.trace, span.span);
            let (Some(other), Some(&(service, _))) =
                (peers::other(span.kind, values), ids.get(&id))
            else {
                return;
            };
            if let Some(&callee) = answered.get(&id) {
                let known = behind.entry((service, other)).or_insert(Some(callee));
                if *known != Some(callee) {
                    *known = None;
                }
                return;
            }
            if matches!(other, Other::Reads(_)) {
                handed.remove(&id);
            }
            let key = (service, other);
            if others.len() < OTHERS || others.contains_key(&key) {
                let sum = others.entry(key).or_default();
                sum.add(span.error, span.duration);
            }
        },
    );
    coverage.clients = clients;

    for (caller, callee, error, duration) in handed.into_values() {
        let sum = calls.entry((caller, callee)).or_default();
        sum.add(error, duration);
    }
    for ((from, to), sum) in calls {
        found.calls.insert((services[from], services[to]), sum);
    }
    for ((service, other), sum) in others {
        let known = match &other {
            Other::Service((_, name)) => names.all().iter().position(|known| known == name),
            _ => None,
        };
        // A call that failed before the server saw it is a call of that server too.
        let known = known.or_else(|| behind.get(&(service, other.clone())).copied().flatten());
        let reads = matches!(other, Other::Reads(_));
        let node = match known {
            Some(known) => services[known],
            None => found.node(other.node()),
        };
        let own = services[service];
        let ends = if reads { (node, own) } else { (own, node) };
        let all = found.calls.entry(ends).or_default();
        all.merge(&sum);
    }
    (found, coverage)
}
