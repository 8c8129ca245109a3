//! Export of spans: truncate, encode, queue or drop, send.
//!
//! It replaces the SDK's batch processor, which costs more: see [`encode`]. Most spans come from
//! [`trace`](crate::trace), some from `tracing` through the SDK.

use std::{
    borrow::Cow,
    cell::RefCell,
    mem,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value, trace::Span as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span, SpanData, SpanProcessor},
};
use prost::Message as _;
use tokio::{
    sync::{Notify, mpsc as async_mpsc},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{AttributeLimits, Flow, Sender, encode, sender::Encoded};
use crate::service::{MARK, Service};

/// Bytes of queued spans that are sent without waiting for the delay. Collectors accept messages of 4 MiB by
/// default, and a message may exceed this size by one span.
const MESSAGE: usize = 1 << 20;

/// Maximum number of bytes in the queue, whatever the number of spans.
const QUEUE: usize = 8 << 20;

/// The queue of ended spans, which a task sends. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Spans(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    flow: Flow,
    limits: AttributeLimits,
    /// Number of queued spans that are sent without waiting for the delay.
    batch: usize,
    requests: async_mpsc::UnboundedSender<Flush>,
}

/// A request to the task to send all queued spans.
struct Flush {
    done: mpsc::SyncSender<OTelSdkResult>,
    last: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    enough: Notify,
    /// The resource of the process.
    resource: Mutex<Resource>,
}

/// The messages that wait to be sent.
#[derive(Debug, Default)]
struct Queue {
    /// Messages of [`MESSAGE`] bytes.
    full: Vec<Message>,
    /// The message that takes the next span.
    open: Message,
    spans: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Message {
    /// There are few: two or three scopes for each service.
    batches: Vec<Batch>,
    spans: usize,
    bytes: usize,
}

/// Encoded spans of one service and scope.
#[derive(Debug)]
struct Batch {
    service: Option<Cow<'static, str>>,
    /// `None` for the scope of this crate.
    scope: Option<InstrumentationScope>,
    bytes: Vec<u8>,
}

impl Spans {
    /// An empty queue, and the task that sends its spans after `delay` at the latest, until a shutdown.
    ///
    /// Must be called on a tokio runtime.
    pub(crate) fn new(
        sender: Sender,
        flow: Flow,
        limits: AttributeLimits,
        batch: usize,
        delay: Duration,
    ) -> (Self, JoinHandle<()>) {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            enough: Notify::new(),
            resource: Mutex::new(Resource::builder_empty().build()),
        });
        let (requests, receiver) = async_mpsc::unbounded_channel();
        let exporter = Exporter {
            shared: Arc::clone(&shared),
            sender,
            flow: flow.clone(),
        };
        let task = tokio::spawn(exporter.run(delay, receiver));
        let inner = Inner {
            shared,
            flow,
            limits,
            batch,
            requests,
        };
        (Self(Arc::new(inner)), task)
    }

    /// Truncates and encodes attributes for spans of this crate.
    pub(crate) fn encode(&self, mut attributes: Vec<KeyValue>) -> Vec<u8> {
        self.0.limits.attributes(&mut attributes);
        encode::attributes(&attributes)
    }

    /// Queues a sampled span of this crate.
    pub(crate) fn record(&self, service: Service, span: &encode::Span<'_>) {
        let service = service.name().map(Cow::Borrowed);
        self.queue(service, None, |encoded| span.encode(encoded));
    }

    fn queue(
        &self,
        service: Option<Cow<'static, str>>,
        scope: Option<InstrumentationScope>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        thread_local! {
            static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let Inner { shared, flow, .. } = &*self.0;
        if !flow.enter() {
            return;
        }
        ENCODED.with_borrow_mut(|encoded| {
            encoded.clear();
            encode(encoded);
            let mut queue = lock(&shared.queue);
            if queue.bytes + encoded.len() > QUEUE {
                drop(queue);
                flow.refuse();
                return;
            }
            queue.add(service, scope, encoded);
            if queue.spans >= self.0.batch || queue.bytes >= MESSAGE {
                drop(queue);
                shared.enough.notify_one();
            }
            // The memory for one huge span is not kept.
            encoded.shrink_to(1 << 16);
        });
    }

    fn flush(&self, timeout: Duration, last: bool) -> OTelSdkResult {
        let (done, outcome) = mpsc::sync_channel(1);
        self.0
            .requests
            .send(Flush { done, last })
            .or(Err(OTelSdkError::AlreadyShutdown))?;
        outcome
            .recv_timeout(timeout)
            .or(Err(OTelSdkError::Timeout(timeout)))?
    }
}

impl SpanProcessor for Spans {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        let service = Service::of(parent).unwrap_or_else(Service::current);
        if let Some(mark) = service.mark() {
            span.set_attribute(mark);
        }
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        self.0.limits.span(&mut span);
        let service = unmark(&mut span.attributes);
        let scope = span.instrumentation_scope.clone();
        self.queue(service, Some(scope), |encoded| {
            encode::sdk_span(span, encoded);
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5), false)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout, true)
    }

    fn set_resource(&mut self, resource: &Resource) {
        *lock(&self.0.shared.resource) = resource.clone();
    }
}

/// The service of an SDK span, whose mark this removes.
fn unmark(attributes: &mut Vec<KeyValue>) -> Option<Cow<'static, str>> {
    let mark = attributes
        .iter()
        .position(|attribute| attribute.key.as_str() == MARK)?;
    match attributes.swap_remove(mark).value {
        Value::String(service) => Some(Cow::Owned(service.into())),
        _ => None,
    }
}

impl Queue {
    fn add(
        &mut self,
        service: Option<Cow<'static, str>>,
        scope: Option<InstrumentationScope>,
        span: &[u8],
    ) {
        self.spans += 1;
        self.bytes += span.len();
        self.open.spans += 1;
        self.open.bytes += span.len();
        let batch = self.open.batch(service, scope);
        batch.bytes.extend_from_slice(span);
        if self.open.bytes >= MESSAGE {
            self.full.push(self.open.take());
        }
    }

    /// Takes all queued spans.
    fn take(&mut self) -> Vec<Message> {
        (self.spans, self.bytes) = (0, 0);
        let mut messages = mem::take(&mut self.full);
        if self.open.spans > 0 {
            messages.push(self.open.take());
        }
        messages
    }
}

impl Message {
    fn batch(
        &mut self,
        service: Option<Cow<'static, str>>,
        scope: Option<InstrumentationScope>,
    ) -> &mut Batch {
        let known = self
            .batches
            .iter()
            .position(|known| known.service == service && known.scope == scope);
        let index = known.unwrap_or_else(|| {
            self.batches.push(Batch {
                service,
                scope,
                bytes: Vec::new(),
            });
            self.batches.len() - 1
        });
        &mut self.batches[index]
    }

    /// Takes the spans. The new batches get the same capacity, since they will be about as large.
    fn take(&mut self) -> Self {
        let empty = self.batches.iter().map(|batch| Batch {
            service: batch.service.clone(),
            scope: batch.scope.clone(),
            bytes: Vec::with_capacity(batch.bytes.len()),
        });
        let empty = Self {
            batches: empty.collect(),
            ..Self::default()
        };
        mem::replace(self, empty)
    }

    /// The pieces of the message, with one resource for each service.
    fn encode(self, process: &Resource) -> Encoded {
        let mut services: Vec<(Option<Cow<'static, str>>, Vec<_>)> = Vec::new();
        for batch in self
            .batches
            .into_iter()
            .filter(|batch| !batch.bytes.is_empty())
        {
            let scope = batch
                .scope
                .unwrap_or_else(|| InstrumentationScope::builder(env!("CARGO_PKG_NAME")).build());
            let scope = (encode::scope(&scope), batch.bytes);
            match services
                .iter_mut()
                .find(|(known, _)| *known == batch.service)
            {
                Some((_, scopes)) => scopes.push(scope),
                None => services.push((batch.service, vec![scope])),
            }
        }
        let mut pieces = Vec::new();
        for (service, scopes) in services {
            let resource = encode::resource(process, service.as_deref());
            encode::resource_spans(&resource, scopes, &mut pieces);
        }
        Encoded(pieces)
    }
}

/// The task that sends.
struct Exporter {
    shared: Arc<Shared>,
    sender: Sender,
    flow: Flow,
}

impl Exporter {
    async fn run(self, delay: Duration, mut requests: async_mpsc::UnboundedReceiver<Flush>) {
        let mut ticks = interval(delay);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    // The flow has counted and logged a failure.
                    let _ = self.send().await;
                }
                () = self.shared.enough.notified() => {
                    let _ = self.send().await;
                }
                request = requests.recv() => {
                    let Some(Flush { done, last }) = request else {
                        return;
                    };
                    // The caller may have given up.
                    let _ = done.send(self.send().await);
                    if last {
                        return;
                    }
                }
            }
        }
    }

    /// Sends all queued spans.
    async fn send(&self) -> OTelSdkResult {
        let messages = lock(&self.shared.queue).take();
        let mut outcome = Ok(());
        for message in messages {
            let spans = message.spans;
            let message = message.encode(&lock(&self.shared.resource));
            match self.sender.send_again(message).await {
                Ok(answer) => self.flow.leave(spans, rejected(answer), None),
                Err(error) => {
                    self.flow.leave(spans, spans, Some(&error));
                    outcome = Err(error);
                }
            }
        }
        outcome
    }
}

/// The number of spans that the collector rejected, by its response.
fn rejected(answer: Bytes) -> usize {
    let partial = ExportTraceServiceResponse::decode(answer)
        .ok()
        .and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| {
        usize::try_from(partial.rejected_spans).unwrap_or(0)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::{
        SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

    use super::*;
    use crate::export::services::tests::{process, service};

    fn span(name: &str) -> Vec<u8> {
        let ids = (TraceId::from(7), SpanId::from(9));
        let context = SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED, false, TraceState::NONE);
        let mut encoded = Vec::new();
        encode::Span {
            context: &context,
            parent: SpanId::INVALID,
            parent_is_remote: false,
            link: None,
            kind: &SpanKind::Internal,
            name,
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: &[],
            status: &Status::Unset,
        }
        .encode(&mut encoded);
        encoded
    }

    /// Each span of a message as its service, scope and name.
    fn spans(message: Message) -> Vec<[String; 3]> {
        let encoded = message.encode(&process()).0.concat();
        let message = ExportTraceServiceRequest::decode(&*encoded).unwrap();
        let mut spans = Vec::new();
        for resource in message.resource_spans {
            let service = service(resource.resource.as_ref());
            for scope in resource.scope_spans {
                let name = scope.scope.unwrap().name;
                let each = scope.spans.into_iter();
                spans.extend(each.map(|span| [service.to_owned(), name.clone(), span.name]));
            }
        }
        spans
    }

    #[test]
    fn a_message_has_a_resource_for_each_service() {
        let other = InstrumentationScope::builder("other").build();
        let mut queue = Queue::default();
        for _ in 0..2 {
            for (service, scope, name) in [
                (Some("user"), None, "a"),
                (None, None, "b"),
                (Some("auth"), None, "c"),
                (Some("user"), Some(other.clone()), "d"),
                (Some("user"), None, "e"),
            ] {
                queue.add(service.map(Cow::Borrowed), scope, &span(name));
            }
            assert_eq!((queue.spans, queue.bytes), (5, 5 * span("a").len()));
            let mut messages = queue.take();
            assert_eq!((messages.len(), messages[0].spans), (1, 5));
            assert_eq!(
                spans(messages.remove(0)),
                [
                    ["user", "telemetry", "a"],
                    ["user", "telemetry", "e"],
                    ["user", "other", "d"],
                    ["process", "telemetry", "b"],
                    ["auth", "telemetry", "c"],
                ]
            );
        }
        assert!(queue.take().is_empty());
    }

    #[test]
    fn a_message_exceeds_its_size_by_one_span_at_most() {
        let mut queue = Queue::default();
        let names = ["user", "auth", "frontend"];
        let span = span(&"x".repeat(10_000));
        let count = QUEUE / span.len();
        for index in 0..count {
            queue.add(Some(Cow::Borrowed(names[index % 3])), None, &span);
        }
        let messages = queue.take();
        let sum: usize = messages.iter().map(|message| message.spans).sum();
        assert_eq!(sum, count);
        assert_eq!(messages.len(), QUEUE / MESSAGE);
        for message in messages {
            let resources = 3 * 200;
            let encoded = message.encode(&process()).0;
            let length: usize = encoded.iter().map(Bytes::len).sum();
            assert!(length < MESSAGE + span.len() + resources, "{length}");
        }
    }
}
