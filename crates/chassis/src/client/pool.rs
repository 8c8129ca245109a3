//! The instances behind the addresses of a service, and the choice among them.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use http::{Request, Response};
use telemetry::{Service, grpc::ClientLayer};
use tokio::{sync::watch, time::sleep};
use tonic::body::Body;
use tower::{Layer as _, Service as _, service_fn};

use super::{
    CallError, Future,
    addresses::{self, Address, Addresses},
    attempts::Attempt,
    instance::Instance,
};
use crate::requests::Requests;

/// Resolves names, and says how often.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) lookup: Arc<Lookup>,
    pub(super) interval: Duration,
}

/// Finds the addresses of a host and a port.
pub(super) type Lookup = dyn Fn(String, u16) -> Found + Send + Sync;

/// The future of a lookup.
pub(super) type Found =
    Pin<Box<dyn std::future::Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

impl Resolver {
    /// Asks the system, each 5 s.
    pub(super) fn system() -> Self {
        Self {
            lookup: Arc::new(|host, port| Box::pin(addresses::lookup(host, port))),
            interval: Duration::from_secs(5),
        }
    }
}

/// The instances of a service.
#[derive(Debug)]
pub(super) struct Pool {
    instances: RwLock<Arc<[Arc<Instance>]>>,
    /// The number of names whose first lookup is under way.
    pending: watch::Sender<usize>,
    /// Why the last lookup failed.
    failure: Mutex<String>,
    /// For the spans of calls without an instance.
    layer: ClientLayer,
}

/// A name whose addresses are followed.
struct Name {
    source: usize,
    address: Address,
    layer: ClientLayer,
}

impl Pool {
    /// The instances behind `addresses`. Names are resolved in the background from now on.
    pub(super) fn new(
        addresses: &Addresses,
        methods: &'static [&'static str],
        resolver: &Resolver,
    ) -> Arc<Self> {
        let mut seen = BTreeSet::new();
        let (mut instances, mut names) = (Vec::new(), Vec::new());
        let layer = |address: &Address| ClientLayer::new(methods, address.uri());
        for (source, address) in addresses.iter().enumerate() {
            let layer = layer(address);
            match address.ip() {
                Some(ip) if seen.insert(ip) => {
                    instances.push(Arc::new(Instance::new(source, address, ip, layer)));
                }
                Some(_) => {}
                None => names.push(Name {
                    source,
                    address: address.clone(),
                    layer,
                }),
            }
        }
        let first = addresses.iter().next();
        let pool = Arc::new(Self {
            instances: RwLock::new(instances.into()),
            pending: watch::Sender::new(names.len()),
            failure: Mutex::default(),
            layer: layer(first.expect("a list of addresses is not empty")),
        });
        for name in names {
            let work = name.follow(Arc::downgrade(&pool), resolver.clone());
            tokio::spawn(Service::current().run(work));
        }
        pool
    }

    /// Makes a call to one of the instances.
    pub(super) fn call(self: &Arc<Self>, request: Request<Body>) -> Future {
        let attempt = request.extensions().get();
        match self.pick(attempt) {
            Some(instance) => instance.call(Arc::clone(self), request),
            None => Box::pin(Arc::clone(self).wait(request)),
        }
    }

    /// Makes a call once the first lookups have ended.
    async fn wait(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> <Future as std::future::Future>::Output {
        let mut pending = self.pending.subscribe();
        // The sender is in this pool, so it is not dropped.
        let _ = pending
            .wait_for(|pending| *pending == 0 || !self.is_empty())
            .await;
        if let Some(instance) = self.pick(request.extensions().get()) {
            return instance.call(self, request).await;
        }
        let failure = self.failure.lock();
        let failure = failure.unwrap_or_else(PoisonError::into_inner).clone();
        let refuse = service_fn(move |_: Request<Body>| {
            let error = CallError::Unresolved(failure.clone());
            async move { Err::<Response<Body>, _>(error) }
        });
        let mut refuse = Requests::default().layer(self.layer.layer(refuse));
        refuse.call(request).await
    }

    /// The less busy one of two random instances. It is one that does not sit out, if there is one, and then one that the
    /// call has not tried, or has tried before the others.
    fn pick(&self, attempt: Option<&Attempt>) -> Option<Arc<Instance>> {
        let instances = self.instances.read();
        let instances = instances.unwrap_or_else(PoisonError::into_inner);
        let mut tried = attempt.map(Attempt::tried);
        let picked = match &**instances {
            [] => return None,
            [only] => only,
            _ => {
                let rank = |instance: &Instance| {
                    let last = tried.as_ref().and_then(|tried| last_try(tried, instance));
                    (instance.is_out(), last)
                };
                // Two random ones among those with the best rank, in one pass: a sample from a stream (Algorithm R).
                let mut best = None;
                let mut count = 0;
                let mut sample = [&instances[0]; 2];
                for instance in instances.iter() {
                    let rank = rank(instance);
                    if best.is_none_or(|best| rank < best) {
                        (best, count) = (Some(rank), 0);
                    }
                    if best == Some(rank) {
                        let place = if count < 2 {
                            count
                        } else {
                            fastrand::usize(..=count)
                        };
                        if let Some(place) = sample.get_mut(place) {
                            *place = instance;
                        }
                        count += 1;
                    }
                }
                let [one, other] = if count == 1 { [sample[0]; 2] } else { sample };
                let (calls, other_calls) = (one.under_way(), other.under_way());
                if calls < other_calls || (calls == other_calls && fastrand::bool()) {
                    one
                } else {
                    other
                }
            }
        };
        if let Some(tried) = &mut tried {
            tried.push(picked.id);
        }
        Some(Arc::clone(picked))
    }

    /// Whether the call has not tried all instances. One that sits out may be back.
    pub(super) fn has_untried(&self, attempt: &Attempt) -> bool {
        let (list, tried) = (self.list(), attempt.tried());
        list.iter()
            .any(|instance| last_try(&tried, instance).is_none())
    }

    /// Whether an instance other than this one does not sit out.
    pub(super) fn has_other(&self, id: u64) -> bool {
        let list = self.list();
        list.iter()
            .any(|instance| instance.id != id && !instance.is_out())
    }

    pub(super) fn has_several(&self) -> bool {
        let instances = self.instances.read();
        instances.unwrap_or_else(PoisonError::into_inner).len() > 1
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> Vec<usize> {
        self.list().iter().map(|it| it.under_way()).collect()
    }

    fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    fn list(&self) -> Arc<[Arc<Instance>]> {
        let instances = self.instances.read();
        Arc::clone(&instances.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the instances of a name. Those that stay keep their connections; calls under way on the others go on.
    fn replace(&self, name: &Name, found: &BTreeSet<SocketAddr>) {
        let mut instances = self
            .instances
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = instances
            .iter()
            .filter(|it| it.source != name.source || found.contains(&it.address))
            .cloned()
            .collect();
        let known: BTreeSet<_> = list.iter().map(|instance| instance.address).collect();
        for address in found.difference(&known) {
            let layer = name.layer.clone();
            list.push(Arc::new(Instance::new(
                name.source,
                &name.address,
                *address,
                layer,
            )));
        }
        if list.len() != instances.len()
            || list
                .iter()
                .zip(instances.iter())
                .any(|(new, old)| new.id != old.id)
        {
            tracing::info!(
                host = name.address.host(),
                addresses = list.len(),
                "the instances of a service have changed"
            );
            *instances = list.into();
        }
    }

    fn has_any(&self, source: usize) -> bool {
        self.list().iter().any(|instance| instance.source == source)
    }
}

/// The position of the last try of an instance among the tries of a call.
fn last_try(tried: &[u64], instance: &Instance) -> Option<usize> {
    tried.iter().rposition(|id| *id == instance.id)
}

impl Name {
    /// Looks up the name until the pool is dropped.
    async fn follow(self, pool: Weak<Pool>, resolver: Resolver) {
        /// Delay after a failed lookup, while no address is known.
        const SOON: Duration = Duration::from_millis(500);
        let (host, port) = (self.address.host(), self.address.port());
        let mut is_first = true;
        let mut has_failed = false;
        loop {
            let outcome = (resolver.lookup)(host.to_owned(), port).await;
            let Some(pool) = pool.upgrade() else { return };
            let reason = match outcome {
                Ok(found) if found.is_empty() => Some("it has no address".to_owned()),
                Ok(found) => {
                    pool.replace(&self, &found.into_iter().collect());
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = &reason {
                if !has_failed {
                    tracing::warn!(
                        host,
                        reason,
                        "cannot resolve a name; known addresses are kept"
                    );
                }
                let mut failure = pool.failure.lock().unwrap_or_else(PoisonError::into_inner);
                *failure = format!("cannot resolve {host}: {reason}");
            }
            has_failed = reason.is_some();
            if is_first {
                is_first = false;
                pool.pending.send_modify(|pending| *pending -= 1);
            }
            let pause = if pool.has_any(self.source) {
                resolver.interval
            } else {
                SOON.min(resolver.interval)
            };
            drop(pool);
            sleep(pause).await;
        }
    }
}
