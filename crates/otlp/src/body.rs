//! The bytes of a request: received and decompressed within limits.

use std::{io::Read as _, time::Duration};

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    failure::Failure,
    gate::{Gate, SMALL, Share},
};

/// Time limit for the arrival of a request.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Bytes after which the announced size of a request is reserved as a whole. Requests that reserved it in parts would wait
/// for each other. A client that announces much and sends nothing reserves nothing.
const TRUSTED: usize = 64 << 10;

/// Bytes above which work leaves the threads that serve connections.
const HEAVY: usize = 256 << 10;

/// Received bytes, with the memory that they take.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    shares: Vec<Share>,
    is_large: bool,
}

/// Receives a body of up to `limit` bytes. `announced` reads the size of the whole body from its start, if it is there.
pub(crate) async fn receive(
    body: Body,
    limit: usize,
    announced: impl Fn(&[u8]) -> Option<usize> + Send,
    gate: &Gate,
) -> Result<Received, Failure> {
    match timeout(ARRIVAL, read(body, limit, announced, gate)).await {
        Ok(received) => received,
        Err(_) => Err(Failure::Slow(ARRIVAL)),
    }
}

async fn read(
    mut body: Body,
    limit: usize,
    announced: impl Fn(&[u8]) -> Option<usize> + Send,
    gate: &Gate,
) -> Result<Received, Failure> {
    let mut whole = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut received = Received {
        bytes: Bytes::new(),
        shares: Vec::new(),
        is_large: false,
    };
    let mut bytes = BytesMut::new();
    let mut reserved = 0;
    loop {
        if whole > limit {
            return Err(Failure::TooLarge { limit });
        }
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| Failure::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let mut size = bytes.len() + data.len();
        if size > TRUSTED {
            size = size.max(whole);
        }
        if size > SMALL && !received.is_large {
            received.shares = vec![gate.large().await?];
            received.is_large = true;
        }
        if !received.is_large && size > reserved {
            // Twice as much as now, because so does the buffer.
            let more = size.max(2 * reserved).min(SMALL) - reserved;
            received.shares.push(gate.receive(more).await?);
            reserved += more;
        }
        bytes.reserve(size - bytes.len());
        bytes.extend_from_slice(&data);
        whole = whole
            .max(bytes.len())
            .max(announced(&bytes).unwrap_or_default());
    }
    received.bytes = bytes.freeze();
    Ok(received)
}

impl Received {
    /// Bytes that have arrived already.
    pub(crate) async fn whole(bytes: Bytes, is_large: bool, gate: &Gate) -> Result<Self, Failure> {
        let share = match is_large {
            true => gate.large().await?,
            false => gate.receive(bytes.len()).await?,
        };
        Ok(Self {
            bytes,
            shares: vec![share],
            is_large,
        })
    }

    /// Removes the first bytes.
    pub(crate) fn strip(&mut self, count: usize) {
        self.bytes = self.bytes.split_off(count);
    }

    /// Decompresses the bytes if needed, and calls `read` with them.
    ///
    /// Each step reserves its memory first. It is returned with the shares.
    pub(crate) async fn unpack<T: Send + 'static>(
        self,
        is_gzip: bool,
        limit: usize,
        gate: &Gate,
        read: impl FnOnce(Bytes) -> Result<T, Failure> + Send + 'static,
    ) -> Result<(T, Vec<Share>), Failure> {
        let Self {
            mut bytes,
            mut shares,
            is_large,
        } = self;
        let expected = if is_gzip {
            unpacked(&bytes)
        } else {
            bytes.len()
        };
        shares.push(gate.read(expected.min(SMALL).max(bytes.len())).await?);
        if is_gzip {
            bytes = gunzip(
                bytes,
                expected.min(SMALL),
                limit,
                is_large,
                gate,
                &mut shares,
            )
            .await?;
        }
        let read = run(bytes.len(), move || read(bytes)).await?;
        Ok((read, shares))
    }
}

/// The size of gzip's data, as its trailer states it: a hint, since a client can state anything.
fn unpacked(bytes: &[u8]) -> usize {
    let trailer = bytes.last_chunk::<4>().copied().unwrap_or_default();
    u32::from_le_bytes(trailer) as usize
}

/// Decompresses. Data that is larger than expected has to wait for the place of the large request.
async fn gunzip(
    bytes: Bytes,
    expected: usize,
    limit: usize,
    is_large: bool,
    gate: &Gate,
    shares: &mut Vec<Share>,
) -> Result<Bytes, Failure> {
    let first = if is_large { limit } else { expected.min(limit) };
    let weight = bytes.len().max(expected);
    let packed = bytes.clone();
    if let Some(whole) = run(weight, move || unpack(&packed, first)).await? {
        return Ok(whole);
    }
    if first == limit {
        return Err(Failure::TooLarge { limit });
    }
    // Starting again is simpler than keeping the decoder, and only one request at a time does it.
    shares.push(gate.large().await?);
    let whole = run(HEAVY + 1, move || unpack(&bytes, limit)).await?;
    whole.ok_or(Failure::TooLarge { limit })
}

/// Decompresses up to `limit` bytes; `None` if there are more.
fn unpack(bytes: &[u8], limit: usize) -> Result<Option<Bytes>, Failure> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| Failure::malformed("", &format!("the body is not valid gzip: {error}")))?;
    Ok((unpacked.len() <= limit).then(|| unpacked.into()))
}

/// Runs work on this many bytes, outside the threads that serve connections if it takes long.
#[expect(
    clippy::disallowed_methods,
    reason = "a receiver does not trace itself, so there is no span to lose"
)]
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    if bytes <= HEAVY {
        return work();
    }
    // A panic has been printed by the panic handler.
    spawn_blocking(work).await.unwrap_or(Err(Failure::Internal))
}

#[cfg(test)]
mod tests {
    use ::http::StatusCode;
    use http_body_util::Full;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clients_retry_what_arrived_too_slowly() {
        let gate = Gate::new();
        let start = Full::new(Bytes::from_static(b"start"));
        let body = Body::new(start.with_trailers(std::future::pending()));
        let failure = receive(body, 100, |_| None, &gate).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the request did not arrive within 30 s"
        );
        // OTLP names 429, 502, 503 and 504 alone.
        assert_eq!(failure.http(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(failure.retry_after(), Some(1));
        let status = failure.status();
        assert_eq!(status.code(), Code::Unavailable);
        let details = status.get_error_details();
        assert!(
            details
                .retry_info()
                .is_some_and(|info| info.retry_delay.is_some())
        );
    }
}
