//! Spans of the hot path, made and encoded here.
//!
//! Each request has half a dozen of them. A `tracing` span would be kept twice, in the
//! subscriber's registry and as what `tracing-opentelemetry` makes of it, and a span of the SDK is
//! an object with a lock, of which nothing but its ids is asked while it lasts. These are their
//! ids in a [`Context`], and become bytes when they end. All kinds nest in each other, as all make
//! theirs the current context.

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
    export::{encode, spans::Spans},
    propagate::{Unexported, b3::Decision, w3c::RANDOM},
};

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Makes the spans of this process.
#[derive(Debug)]
pub(crate) enum Tracer {
    /// Of traces that are exported.
    Exporting {
        /// Says which.
        sampler: Sampler,
        /// Where ended spans go.
        spans: Spans,
    },
    /// Of traces that are not exported. A caller's context is passed on as it is, so that the
    /// trace goes on as if this process were not there. Without a caller, a span has ids for logs
    /// and pages, and no other process gets to see them.
    Silent,
}

/// From now on spans are made by this tracer. Of several, the first stays.
pub(crate) fn install(tracer: Tracer) {
    // The subscriber of the process, which is installed before, refuses a second start.
    let _ = TRACER.set(tracer);
}

/// A span that has begun. One that is dropped before it is ended is not exported.
///
/// Where traces are switched off or not exported there is no span, and its context is the parent.
#[derive(Debug)]
pub struct Span {
    context: Context,
    started: Instant,
    recorded: Option<Recorded>,
}

/// What is known of a sampled span before it ends.
#[derive(Debug)]
struct Recorded {
    spans: &'static Spans,
    parent: SpanId,
    parent_is_remote: bool,
    link: Option<SpanContext>,
    kind: SpanKind,
    name: Cow<'static, str>,
    started: SystemTime,
}

impl Span {
    /// Begins a span below `parent`.
    #[must_use]
    pub fn start(parent: &Context, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
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

    /// Begins a span of work within this process, below the current one.
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

    /// The context that the span is current in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How long ago it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the span, which took so long, with all its attributes. What comes after the first
    /// end is ignored.
    pub fn end(&mut self, elapsed: Duration, attributes: &Attributes, failed: bool) {
        let Some(recorded) = self.recorded.take() else {
            return;
        };
        recorded.spans.record(&encode::Span {
            context: self.context.span().span_context(),
            parent: recorded.parent,
            parent_is_remote: recorded.parent_is_remote,
            link: recorded.link.as_ref(),
            kind: &recorded.kind,
            name: &recorded.name,
            start_time: recorded.started,
            // By the clock that nobody sets.
            end_time: recorded.started + elapsed,
            attributes: &attributes.0,
            status: if failed { &FAILED } else { &Status::Unset },
        });
    }
}

/// The attributes of spans, as OTLP writes them: many spans have the same.
#[derive(Debug, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// Encodes attributes; after [`crate::init`], which knows how long they may be. There are
    /// none where no spans are exported.
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
    // "Remote" by the method's name alone: a span context without the object behind it.
    parent.with_remote_span_context(SpanContext::new(trace_id, span_id, flags, false, state))
}

/// What a sampler has to take for the parent where a B3 sender said something else than the span
/// context there: to decide as for a root, or a decision without a span.
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
    fn a_b3_sender_can_leave_the_decision_or_make_it_without_a_span() {
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
        // A span of this process has decided for those below it.
        let below = child(
            &deferred,
            TraceId::from(7),
            TraceFlags::SAMPLED,
            TraceState::NONE,
        );
        assert!(samples(&off, &below));
    }
}
