//! Spans: cut, encoded, let in or dropped, sent.
//!
//! In place of the SDK's batch processor, for its cost: see [`encode`].

use std::{
    cell::RefCell,
    mem,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span, SpanData, SpanProcessor},
};
use prost::Message as _;
use tokio::{
    sync::{Notify, mpsc as async_mpsc},
    time::{MissedTickBehavior, interval},
};

use super::{Flow, Limits, Sender, encode, sender::Encoded};

/// Bytes of spans that are sent at once when they have come together. Collectors take 4 MiB by
/// default, and a span more may be in a message.
const MESSAGE: usize = 1 << 20;

/// Bytes of spans that may wait, whatever their number.
const QUEUE: usize = 8 << 20;

/// Takes the spans that end, and has them sent by a task.
#[derive(Debug)]
pub(crate) struct Processor {
    shared: Arc<Shared>,
    flow: Flow,
    limits: Limits,
    /// Spans that are sent at once when they have come together.
    batch: usize,
    requests: async_mpsc::UnboundedSender<Flush>,
}

/// Asks the task to send what waits.
struct Flush {
    done: mpsc::SyncSender<OTelSdkResult>,
    last: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    enough: Notify,
    resource: Mutex<Vec<u8>>,
}

/// Encoded spans that wait, by scope: there are two or three.
#[derive(Debug, Default)]
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

impl Processor {
    /// A processor that sends what waits after `delay` at the latest.
    ///
    /// Must be called on a tokio runtime.
    pub(crate) fn new(
        sender: Sender,
        flow: Flow,
        limits: Limits,
        batch: usize,
        delay: Duration,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let (requests, receiver) = async_mpsc::unbounded_channel();
        let exporter = Exporter {
            shared: Arc::clone(&shared),
            sender,
            flow: flow.clone(),
        };
        tokio::spawn(exporter.run(delay, receiver));
        Self {
            shared,
            flow,
            limits,
            batch,
            requests,
        }
    }

    fn flush(&self, timeout: Duration, last: bool) -> OTelSdkResult {
        let (done, outcome) = mpsc::sync_channel(1);
        self.requests
            .send(Flush { done, last })
            .or(Err(OTelSdkError::AlreadyShutdown))?;
        outcome
            .recv_timeout(timeout)
            .or(Err(OTelSdkError::Timeout(timeout)))?
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        thread_local! {
            static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        if !span.span_context.is_sampled() || !self.flow.enter() {
            return;
        }
        self.limits.span(&mut span);
        ENCODED.with_borrow_mut(|encoded| {
            encoded.clear();
            let scope = span.instrumentation_scope.clone();
            encode::span(span, encoded);
            let mut queue = lock(&self.shared.queue);
            if queue.bytes + encoded.len() > QUEUE {
                drop(queue);
                self.flow.refuse();
                return;
            }
            queue.push(&scope, encoded);
            if queue.spans >= self.batch || queue.bytes >= MESSAGE {
                drop(queue);
                self.shared.enough.notify_one();
            }
            // What one huge span needed is not kept for the next.
            encoded.shrink_to(1 << 16);
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(Duration::from_secs(5), false)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout, true)
    }

    fn set_resource(&mut self, resource: &Resource) {
        *lock(&self.shared.resource) = encode::resource(resource);
    }
}

impl Queue {
    fn push(&mut self, scope: &InstrumentationScope, encoded: &[u8]) {
        self.spans += 1;
        self.bytes += encoded.len();
        let known = self.scopes.iter().position(|(known, _)| known == scope);
        let index = known.unwrap_or_else(|| {
            self.scopes.push((scope.clone(), Batch::default()));
            self.scopes.len() - 1
        });
        let (_, batch) = &mut self.scopes[index];
        batch.spans += 1;
        batch.bytes.extend_from_slice(encoded);
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
        let queue = mem::take(&mut *lock(&self.shared.queue));
        let mut outcome = Ok(());
        for (scope, batch) in queue.scopes {
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
