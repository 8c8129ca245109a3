//! Spans: cut, encoded, let in or dropped, sent.
//!
//! In place of the SDK's batch processor, for its cost: see [`encode`]. Most spans come from
//! [`trace`](crate::trace), some from `tracing` by way of the SDK.

use std::{
    cell::RefCell,
    mem,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
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

/// Bytes of spans that are sent at once when they have come together. Collectors take 4 MiB by
/// default, and a span more may be in a message.
const MESSAGE: usize = 1 << 20;

/// Bytes of spans that may wait, whatever their number.
const QUEUE: usize = 8 << 20;

/// Takes the spans that end, and has them sent by a task. Clones share the queue.
#[derive(Clone, Debug)]
pub(crate) struct Spans(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    flow: Flow,
    limits: AttributeLimits,
    /// Spans that are sent at once when they have come together.
    batch: usize,
    requests: async_mpsc::UnboundedSender<Flush>,
}

/// Asks the task to send what waits.
struct Flush {
    done: mpsc::SyncSender<OTelSdkResult>,
    last: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    enough: Notify,
    resource: Mutex<Vec<u8>>,
}

/// Encoded spans that wait, by scope: there are two or three, the first of which is our own.
#[derive(Debug)]
struct Queue {
    scopes: Vec<(InstrumentationScope, Batch)>,
    spans: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Batch {
    spans: usize,
    bytes: Vec<u8>,
}

impl Spans {
    /// Sends what waits after `delay` at the latest. The returned task does so until a shutdown.
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
            queue: Mutex::new(Queue::new()),
            enough: Notify::new(),
            resource: Mutex::default(),
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

    /// Attributes for spans of our own.
    pub(crate) fn encode(&self, mut attributes: Vec<KeyValue>) -> Vec<u8> {
        self.0.limits.attributes(&mut attributes);
        encode::attributes(&attributes)
    }

    /// Queues a sampled span of our own.
    pub(crate) fn record(&self, span: &encode::Span<'_>) {
        self.queue(Queue::own, |encoded| span.encode(encoded));
    }

    fn queue(
        &self,
        batch: impl FnOnce(&mut Queue) -> &mut Batch,
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
            queue.spans += 1;
            queue.bytes += encoded.len();
            let batch = batch(&mut queue);
            batch.spans += 1;
            batch.bytes.extend_from_slice(encoded);
            if queue.spans >= self.0.batch || queue.bytes >= MESSAGE {
                drop(queue);
                shared.enough.notify_one();
            }
            // What one huge span needed is not kept for the next.
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
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        self.0.limits.span(&mut span);
        let scope = span.instrumentation_scope.clone();
        self.queue(
            |queue| queue.of(&scope),
            |encoded| encode::sdk_span(span, encoded),
        );
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5), false)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout, true)
    }

    fn set_resource(&mut self, resource: &Resource) {
        *lock(&self.0.shared.resource) = encode::resource(resource);
    }
}

impl Queue {
    fn new() -> Self {
        let own = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).build();
        Self {
            scopes: vec![(own, Batch::default())],
            spans: 0,
            bytes: 0,
        }
    }

    fn own(&mut self) -> &mut Batch {
        &mut self.scopes[0].1
    }

    fn of(&mut self, scope: &InstrumentationScope) -> &mut Batch {
        let known = self.scopes.iter().position(|(known, _)| known == scope);
        let index = known.unwrap_or_else(|| {
            self.scopes.push((scope.clone(), Batch::default()));
            self.scopes.len() - 1
        });
        &mut self.scopes[index].1
    }

    /// Moves out what waits. The next batches will be about as large: they need not grow.
    fn take(&mut self) -> Vec<(InstrumentationScope, Batch)> {
        (self.spans, self.bytes) = (0, 0);
        let empty = self.scopes.iter().map(|(scope, batch)| {
            let batch = Batch {
                spans: 0,
                bytes: Vec::with_capacity(batch.bytes.len()),
            };
            (scope.clone(), batch)
        });
        let empty = empty.collect();
        let mut taken = mem::replace(&mut self.scopes, empty);
        taken.retain(|(_, batch)| batch.spans > 0);
        taken
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
                    // A failure was counted, and said once.
                    let _ = self.send().await;
                }
                () = self.shared.enough.notified() => {
                    let _ = self.send().await;
                }
                request = requests.recv() => {
                    let Some(Flush { done, last }) = request else {
                        return;
                    };
                    // Who asked may have given up.
                    let _ = done.send(self.send().await);
                    if last {
                        return;
                    }
                }
            }
        }
    }

    /// Sends all that waits, a message for each scope.
    async fn send(&self) -> OTelSdkResult {
        let scopes = lock(&self.shared.queue).take();
        let mut outcome = Ok(());
        for (scope, batch) in scopes {
            let head = encode::head(
                &lock(&self.shared.resource),
                &encode::scope(&scope),
                batch.bytes.len(),
            );
            let message = Encoded {
                head: head.into(),
                body: batch.bytes.into(),
            };
            match self.sender.send_again(message).await {
                Ok(answer) => self.flow.leave(batch.spans, rejected(answer), None),
                Err(error) => {
                    self.flow.leave(batch.spans, batch.spans, Some(&error));
                    outcome = Err(error);
                }
            }
        }
        outcome
    }
}

/// How many spans the collector says that it did not take.
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
