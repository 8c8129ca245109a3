//! Spans of the hot path.
//!
//! Each request has half a dozen of them. A `tracing` span would be stored twice: in the
//! subscriber's registry and as the data of `tracing-opentelemetry`. An SDK span is an object with
//! a lock, but while it is open only its ids are read. These spans are only ids in a [`Context`],
//! and are encoded when they end. They nest with `tracing` and SDK spans, because all of them set
//! the current context.

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
        TraceState,
    },
};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};

use crate::{
    Service,
    export::{encode, spans::Spans},
    propagate::{Unexported, b3::Decision, w3c::RANDOM},
};

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// The tracer of this process.
#[derive(Debug)]
pub(crate) enum Tracer {
    /// Traces are exported.
    Exporting {
        /// Selects the traces to record.
        sampler: Sampler,
        /// The queue of ended spans.
        spans: Spans,
    },
    /// Traces are not exported. A caller's context is passed on unchanged, so the trace continues as
    /// if this process were not part of it. Without a caller, a span gets ids for logs and pages,
    /// which are not passed to other processes.
    Silent,
}

/// Sets the tracer of this process. Only the first call has an effect.
pub(crate) fn install(tracer: Tracer) {
    // A second start has failed before, because the process has a subscriber already.
    let _ = TRACER.set(tracer);
}

/// An open span. If it is dropped before [`Self::end`], it is not exported.
///
/// Without a tracer, or if telemetry is suppressed, there is no span, and the context is that of the parent.
#[derive(Debug)]
pub struct Span {
    context: Context,
    started: Instant,
    recorded: Option<Recorded>,
}

/// The data of a sampled span before it ends.
#[derive(Debug)]
struct Recorded {
    spans: &'static Spans,
    service: Service,
    parent: SpanId,
    parent_is_remote: bool,
    link: Option<SpanContext>,
    kind: SpanKind,
    name: Cow<'static, str>,
    started: SystemTime,
}

impl Span {
    /// Starts a span below `parent`. It belongs to the service of `parent`; if this has none, to the current one.
    #[must_use]
    pub fn start(parent: &Context, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        let parent = &*Service::adopt(parent);
        match TRACER.get() {
            Some(tracer) if !parent.is_telemetry_suppressed() => {
                tracer.start(parent, kind, name.into())
            }
            _ => Self {
                context: parent.clone(),
                started: Instant::now(),
                recorded: None,
            },
        }
    }

    /// Starts a span for work within this process, below the current span.
    #[must_use]
    pub fn internal(name: &'static str) -> Self {
        Self::start(&Context::current(), SpanKind::Internal, name)
    }

    /// Links the span to another one, such as that of a message's producer.
    #[must_use]
    pub fn linked(mut self, other: &SpanContext) -> Self {
        if let Some(recorded) = &mut self.recorded {
            recorded.link = other.is_valid().then(|| other.clone());
        }
        self
    }

    /// The context in which this span is the current one.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The time since the start of the span.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the span after a duration of `elapsed`, with all its attributes. Only the first call has an
    /// effect.
    pub fn end(&mut self, elapsed: Duration, attributes: &Attributes, failed: bool) {
        let Some(recorded) = self.recorded.take() else {
            return;
        };
        let span = self.context.span();
        let span = encode::Span {
            context: span.span_context(),
            parent: recorded.parent,
            parent_is_remote: recorded.parent_is_remote,
            link: recorded.link.as_ref(),
            kind: &recorded.kind,
            name: &recorded.name,
            start_time: recorded.started,
            // Computed with the monotonic clock, which is never set.
            end_time: recorded.started + elapsed,
            attributes: &attributes.0,
            status: if failed { &FAILED } else { &Status::Unset },
        };
        recorded.spans.record(recorded.service, &span);
    }
}

/// Encoded attributes, which many spans can share.
#[derive(Debug, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// Encodes attributes. Call it after [`crate::init`], which sets the limit of their length. If no
    /// spans are exported, the result is empty.
    #[must_use]
    pub fn new(attributes: Vec<KeyValue>) -> Self {
        match TRACER.get() {
            Some(Tracer::Exporting { spans, .. }) => Self(spans.encode(attributes)),
            Some(Tracer::Silent) | None => Self::default(),
        }
    }
}

static FAILED: Status = Status::Error {
    description: Cow::Borrowed(""),
};

impl Tracer {
    fn start(&'static self, parent: &Context, kind: SpanKind, name: Cow<'static, str>) -> Span {
        let span = parent.span();
        let above = span.span_context();
        let (context, recorded) = match self {
            Self::Silent if above.is_valid() => (parent.clone(), None),
            Self::Silent => {
                let trace_id = RandomIdGenerator::default().new_trace_id();
                let flags = TraceFlags::default();
                let context = child(parent, trace_id, flags, TraceState::default());
                (context.with_value(Unexported), None)
            }
            Self::Exporting { sampler, spans } => {
                let trace_id = if above.is_valid() {
                    above.trace_id()
                } else {
                    RandomIdGenerator::default().new_trace_id()
                };
                let decided = decided(parent, trace_id);
                let parent_of_sampler = Some(decided.as_ref().unwrap_or(parent));
                let result =
                    sampler.should_sample(parent_of_sampler, trace_id, &name, &kind, &[], &[]);
                let sampled = result.decision == SamplingDecision::RecordAndSample;
                let flags = (above.trace_flags() & RANDOM).with_sampled(sampled);
                let recorded = sampled.then(|| Recorded {
                    spans,
                    service: Service::of(parent).unwrap_or_default(),
                    parent: if above.is_valid() {
                        above.span_id()
                    } else {
                        SpanId::INVALID
                    },
                    parent_is_remote: above.is_valid() && above.is_remote(),
                    link: None,
                    kind,
                    name,
                    started: opentelemetry::time::now(),
                });
                (child(parent, trace_id, flags, result.trace_state), recorded)
            }
        };
        Span {
            context,
            started: Instant::now(),
            recorded,
        }
    }
}

/// The context of a new span.
fn child(parent: &Context, trace_id: TraceId, flags: TraceFlags, state: TraceState) -> Context {
    let span_id = RandomIdGenerator::default().new_span_id();
    // Despite its name, the method fits local spans too: it stores ids without an SDK span.
    parent.with_remote_span_context(SpanContext::new(trace_id, span_id, flags, false, state))
}

/// The parent context for the sampler, if a B3 sender's decision is not in the span context of `parent`.
///
/// If the sender deferred the decision, the sampler decides as for a root. If it sent a decision
/// without a span, the sampler gets a span with that decision.
fn decided(parent: &Context, trace_id: TraceId) -> Option<Context> {
    let decision = *parent.get::<Decision>()?;
    let span = parent.span();
    let span = span.span_context();
    match decision {
        Decision::Defer => span.is_remote().then(Context::new),
        Decision::Deny | Decision::Accept | Decision::Debug => (!span.is_valid()).then(|| {
            let (span_id, state) = (RandomIdGenerator::default().new_span_id(), TraceState::NONE);
            let span = SpanContext::new(trace_id, span_id, decision.flags(), true, state);
            Context::new().with_remote_span_context(span)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(flags: TraceFlags) -> Context {
        let ids = (TraceId::from(7), SpanId::from(9));
        let state = TraceState::from_key_value([("a", "b")]).unwrap();
        Context::new().with_remote_span_context(SpanContext::new(ids.0, ids.1, flags, true, state))
    }

    #[test]
    fn without_an_export_the_callers_span_is_the_current_one() {
        static SILENT: Tracer = Tracer::Silent;
        for flags in [TraceFlags::NOT_SAMPLED, TraceFlags::SAMPLED | RANDOM] {
            let parent = received(flags);
            let span = SILENT.start(&parent, SpanKind::Server, "x".into());
            let inner = SILENT.start(span.context(), SpanKind::Client, "y".into());
            let (above, below) = (parent.span(), inner.context().span());
            assert_eq!(below.span_context(), above.span_context());
        }
        let root = SILENT.start(&Context::new(), SpanKind::Server, "x".into());
        let inner = SILENT.start(root.context(), SpanKind::Client, "y".into());
        let (above, below) = (root.context().span(), inner.context().span());
        assert!(above.span_context().is_valid());
        assert_eq!(below.span_context(), above.span_context());
        assert!(inner.context().get::<Unexported>().is_some());
    }

    #[test]
    fn a_b3_sender_can_defer_the_decision_or_make_it_without_a_span() {
        let sampler = |root| Sampler::ParentBased(Box::new(root));
        let samples = |sampler: &Sampler, parent: &Context| {
            let trace_id = TraceId::from(7);
            let decided = decided(parent, trace_id);
            let parent = decided.as_ref().unwrap_or(parent);
            let kind = SpanKind::Server;
            let result = sampler.should_sample(Some(parent), trace_id, "x", &kind, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        let (on, off) = (sampler(Sampler::AlwaysOn), sampler(Sampler::AlwaysOff));
        let deferred = received(TraceFlags::default()).with_value(Decision::Defer);
        assert!(samples(&on, &deferred) && !samples(&off, &deferred));
        for (decision, sampled) in [
            (Decision::Deny, false),
            (Decision::Accept, true),
            (Decision::Debug, true),
        ] {
            let parent = Context::new().with_value(decision);
            assert_eq!(samples(&on, &parent), sampled);
            assert_eq!(samples(&off, &parent), sampled);
            assert!(samples(&Sampler::AlwaysOn, &parent));
        }
        // A span of this process has made the decision for the spans below it.
        let below = child(
            &deferred,
            TraceId::from(7),
            TraceFlags::SAMPLED,
            TraceState::NONE,
        );
        assert!(samples(&off, &below));
    }
}
