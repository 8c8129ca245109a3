//! Places for open streams. Their number is limited in total and for each client, and their time
//! is limited too.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::network;
use tokio::time::Instant;

/// Limit of open streams.
const STREAMS: usize = 256;

/// Limit of open streams for each client. Several users may share an address.
const STREAMS_PER_CLIENT: usize = 16;

/// Average lifetime of a stream.
const LIFETIME: Duration = Duration::from_secs(300);

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    /// This client has [`STREAMS_PER_CLIENT`] streams.
    Client,
    /// There are [`STREAMS`] streams.
    Everybody,
}

/// The places that are taken.
#[derive(Debug)]
pub(super) struct Places {
    lifetime: Duration,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    last_id: u64,
    streams: Vec<Taking>,
}

#[derive(Debug)]
struct Taking {
    id: u64,
    client: IpAddr,
    until: Instant,
}

/// The place of one stream. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    until: Instant,
    places: Arc<Places>,
}

impl Default for Places {
    fn default() -> Self {
        Self::new(LIFETIME)
    }
}

impl Places {
    /// Places for streams that last for `lifetime` on average.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            taken: Mutex::default(),
        }
    }

    /// Takes a place for a client.
    ///
    /// A place whose time is over is free, even if its stream has not ended: a stream notices its
    /// end only while its client reads.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Result<Place, Full> {
        let client = network::client(client);
        let mut taken = self.lock();
        let now = Instant::now();
        taken.streams.retain(|stream| stream.until > now);
        if taken.streams.len() >= STREAMS {
            return Err(Full::Everybody);
        }
        let own = taken.streams.iter().filter(|other| other.client == client);
        if own.count() >= STREAMS_PER_CLIENT {
            return Err(Full::Client);
        }
        taken.last_id += 1;
        let id = taken.last_id;
        let until = now + vary(self.lifetime);
        taken.streams.push(Taking { id, client, until });
        Ok(Place {
            id,
            until,
            places: Arc::clone(self),
        })
    }

    /// How many places are taken.
    pub(super) fn count(&self) -> usize {
        self.lock().streams.len()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// When the stream must end.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.streams.retain(|stream| stream.id != self.id);
    }
}

/// The time, varied at random by up to 20 %. Otherwise streams that were opened together would end
/// and reconnect together.
fn vary(time: Duration) -> Duration {
    time.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn take(places: &Arc<Places>, client: &str) -> Result<Place, Full> {
        places.take(client.parse().unwrap())
    }

    #[test]
    fn a_client_has_a_limit_of_its_own() {
        let places = Arc::default();
        let mut own: Vec<_> = (0..STREAMS_PER_CLIENT)
            .map(|_| take(&places, "192.0.2.1").unwrap())
            .collect();
        for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(take(&places, same).unwrap_err(), Full::Client);
        }
        assert!(take(&places, "192.0.2.2").is_ok());

        own.pop();
        own.push(take(&places, "192.0.2.1").unwrap());
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), Full::Client);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let places = Arc::default();
        let _own: Vec<_> = (0..STREAMS_PER_CLIENT)
            .map(|host| take(&places, &format!("2001:db8::{host:x}")).unwrap())
            .collect();
        let refused = take(&places, "2001:db8::ffff:ffff:ffff:ffff").unwrap_err();
        assert_eq!(refused, Full::Client);
        assert!(take(&places, "2001:db8:0:1::").is_ok());
    }

    #[test]
    fn all_clients_together_have_a_limit() {
        let places = Arc::<Places>::default();
        let client = |n: usize| Ipv4Addr::from_bits(u32::try_from(n).unwrap()).into();
        let mut all: Vec<_> = (0..STREAMS)
            .map(|n| places.take(client(n)).unwrap())
            .collect();
        assert_eq!(places.count(), STREAMS);
        let late = places.take(client(STREAMS)).unwrap_err();
        assert_eq!(late, Full::Everybody);

        all.pop();
        assert!(places.take(client(STREAMS)).is_ok());
    }

    #[test]
    fn a_place_is_free_after_its_lifetime_even_if_the_stream_is_not_read() {
        let places = Arc::new(Places::new(Duration::ZERO));
        let mut own: Vec<_> = (0..=STREAMS_PER_CLIENT)
            .map(|_| take(&places, "192.0.2.1").unwrap())
            .collect();
        let last = own.pop();
        // A stream that ends late must not free the place of another one.
        drop(own);
        assert_eq!(places.count(), 1);
        drop(last);
        assert_eq!(places.count(), 0);
    }

    #[test]
    fn lifetimes_differ() {
        let lifetimes: Vec<_> = (0..100).map(|_| vary(LIFETIME).as_secs()).collect();
        assert!(
            lifetimes
                .iter()
                .all(|seconds| (240..=360).contains(seconds))
        );
        assert!(lifetimes.iter().any(|seconds| *seconds < 300));
        assert!(lifetimes.iter().any(|seconds| *seconds >= 300));
    }
}
