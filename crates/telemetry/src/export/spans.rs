//! Export of spans: truncate, encode, queue or drop, send.
//!
//! It replaces the SDK's batch processor, which costs more: see [`encode`]. Most spans come from
//! [`trace`](crate::trace), some from `tracing` through the SDK.

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
    resource: Mutex<Vec<u8>>,
}

/// Encoded spans by scope. There are two or three scopes, and the first is that of this crate.
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

    /// Truncates and encodes attributes for spans of this crate.
    pub(crate) fn encode(&self, mut attributes: Vec<KeyValue>) -> Vec<u8> {
        self.0.limits.attributes(&mut attributes);
        encode::attributes(&attributes)
    }

    /// Queues a sampled span of this crate.
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

    /// Takes all queued spans. The new batches get the same capacity, since they will be about as large.
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

    /// Sends all queued spans, in one message for each scope.
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
