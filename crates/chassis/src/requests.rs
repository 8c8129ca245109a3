//! Counts of the requests that are under way.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Time without requests after which a server or connection counts as drained. In this time, an answer
/// in the buffers of a connection reaches the system.
pub(crate) const LINGER: Duration = Duration::from_millis(50);

/// The requests of a server, or of one connection. A request is under way until its whole answer
/// is in the connection's buffers. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Requests {
    fn begin(&self) -> Request {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        Request(Arc::clone(&self.0))
    }

    /// The number of requests since the start, if none is under way.
    pub(crate) fn at_rest(&self) -> Option<usize> {
        // In this order, a request that begins between the two reads counts as under way.
        let ended = self.0.ended.load(Ordering::Acquire);
        let begun = self.0.begun.load(Ordering::Acquire);
        (begun == ended).then_some(begun)
    }

    /// The number of requests under way.
    pub(crate) fn under_way(&self) -> usize {
        // In this order, the difference is not negative.
        let ended = self.0.ended.load(Ordering::Relaxed);
        let begun = self.0.begun.load(Ordering::Relaxed);
        begun.wrapping_sub(ended)
    }

    /// Waits until no request has been under way for [`LINGER`].
    pub(crate) async fn drained(&self) {
        let mut before = None;
        loop {
            let now = self.at_rest();
            if now.is_some() && now == before {
                return;
            }
            before = now;
            tokio::time::sleep(LINGER).await;
        }
    }
}

/// A request that is under way, until it is dropped.
#[derive(Debug)]
struct Request(Arc<Counts>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

impl<S> Layer<S> for Requests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            requests: self.clone(),
        }
    }
}

/// A service that counts its requests.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S, R, B> Service<R> for Counted<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Counting<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let counted = Some(self.requests.begin());
        Counting {
            future: self.inner.call(request),
            counted,
        }
    }
}

pin_project! {
    /// The future of an answer.
    #[derive(Debug)]
    pub(crate) struct Counting<F> {
        #[pin]
        future: F,
        counted: Option<Request>,
    }
}

impl<F, B, E> Future for Counting<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.future.poll(context));
        let counted = this.counted.take();
        Poll::Ready(answer.map(|response| response.map(|body| CountedBody { body, counted })))
    }
}

pin_project! {
    /// The body of an answer. Its request is under way until it is dropped.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        body: B,
        counted: Option<Request>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
