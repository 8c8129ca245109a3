//! Clients of other services: calls are spread over the instances of a service and go round those that fail. Each call has
//! a deadline, and those that are safe to repeat are retried.
//!
//! tonic's own balancer is not used. It calls an instance whose connections are refused as often as the others, and does not
//! know which one is busy.

mod addresses;
mod attempts;
mod instance;
mod pool;

use std::{net::SocketAddr, pin::Pin, sync::Arc, task};

use http::{Request, Response};
use telemetry::grpc::Observed;
use tonic::{body::Body, transport};
use tower::{Service, retry::budget::TpsBudget};

pub use self::{addresses::Addresses, attempts::Attempt};
pub use crate::requests::CountedBody;

use self::pool::{Pool, Resolver};

/// A channel to the instances of a service, with telemetry for its calls. Clones share everything.
///
/// An instance gets a call if it is the less busy one of two that were chosen at random. An instance whose connection fails,
/// that is frozen or whose calls time out sits out, until it answers a health check. If all sit out, they are called
/// nevertheless.
///
/// [`once`](Self::once) and [`retry`](Self::retry) make calls with a deadline. A call without them makes one attempt.
#[derive(Clone, Debug)]
pub struct Channel {
    pool: Arc<Pool>,
    budget: Arc<TpsBudget>,
}

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection could not be opened, or was lost.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The instance neither answered the call nor a health check, and there are others.
    #[error("{0} does not answer")]
    Silent(SocketAddr),
    /// No address is known. The text says why.
    #[error("{0}")]
    Unresolved(String),
}

type Answer = Result<Response<CountedBody<Observed<Body>>>, CallError>;
type Future = Pin<Box<dyn std::future::Future<Output = Answer> + Send>>;

impl Channel {
    /// A channel to a service with these methods, each as `package.Service/Method`. It connects at the first call, and
    /// reconnects after a lost connection, so the service may start later. Names are resolved each 5 s.
    #[must_use]
    pub fn new(addresses: &Addresses, methods: &'static [&'static str]) -> Self {
        Self::with(addresses, methods, &Resolver::system())
    }

    fn with(addresses: &Addresses, methods: &'static [&'static str], resolver: &Resolver) -> Self {
        Self {
            pool: Pool::new(addresses, methods, resolver),
            budget: Arc::new(attempts::budget()),
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<CountedBody<Observed<Body>>>;
    type Error = CallError;
    type Future = Future;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), CallError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Future {
        self.pool.call(request)
    }
}

#[cfg(test)]
mod tests;
