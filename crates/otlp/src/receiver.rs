use ::http::HeaderMap;
use axum::{
    Router,
    extract::{Request, State},
    middleware::from_fn,
    response::Response,
    routing::any,
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use tokio::{join, sync::mpsc, task::yield_now};

use crate::{
    body::{self, Received},
    export::{Export, Signal},
    failure::{Denial, Failure, Refusal},
    gate::{Gate, STORING},
    grpc,
    http::{self, Format},
    json, parts,
    rest::read_rest,
    sink::{Accepted, Sink},
    size,
};

/// Largest ratio of a decoded request to the limit of an encoded one. Spans with a few short attributes take up to nine
/// times their encoded size.
const EXPANSION: usize = 16;

/// Bytes that a part may take in memory, because a record cannot be split.
const RECORD: usize = 24 << 20;

/// Largest ratio of a larger part to its encoded size.
const RECORD_EXPANSION: usize = 6;

/// Why protobuf is refused that nests too deep. prost has the limit.
const TOO_DEEP: &str = "messages nest deeper than 100 levels, which is more than 31 levels of kvlist_value in an attribute";

/// Limits of a [`Receiver`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request in bytes, compressed and decompressed.
    pub request: usize,
}

/// A request that was stored.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Number of its spans, data points or log records, with the rejected ones.
    pub(crate) records: u64,
    pub(crate) accepted: Accepted,
}

impl Default for Limits {
    /// 64 MiB, which the specification recommends.
    fn default() -> Self {
        Self { request: 64 << 20 }
    }
}

impl Stored {
    /// Adds the next part of the same request.
    fn add(&mut self, part: &Self) {
        self.records += part.records;
        self.accepted.add(&part.accepted);
    }
}

/// A receiver of OTLP over gRPC and HTTP.
#[derive(Clone, Debug)]
pub struct Receiver<S> {
    pub(crate) sink: S,
    pub(crate) limits: Limits,
    gate: Gate,
}

impl<S: Sink> Receiver<S> {
    /// A receiver that delivers to this sink.
    #[must_use]
    pub fn new(sink: S, limits: Limits) -> Self {
        Self {
            sink,
            limits,
            gate: Gate::new(),
        }
    }

    /// The routes of both protocols. A server for HTTP/1.1 and HTTP/2 may serve them on any port, so
    /// that a client may use either protocol there.
    ///
    /// Routes of one receiver share its limits.
    pub fn routes(self) -> Router {
        let http = Router::new()
            .route(
                "/v1/traces",
                any(http::export::<S, ExportTraceServiceRequest>),
            )
            .route(
                "/v1/metrics",
                any(http::export::<S, ExportMetricsServiceRequest>),
            )
            .route("/v1/logs", any(http::export::<S, ExportLogsServiceRequest>))
            .layer(http::cors());
        let grpc = Router::new()
            .route(
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                any(grpc::export::<S, ExportTraceServiceRequest>),
            )
            .route(
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                any(grpc::export::<S, ExportMetricsServiceRequest>),
            )
            .route(
                "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                any(grpc::export::<S, ExportLogsServiceRequest>),
            );
        http.merge(grpc)
            .fallback(unknown::<S>)
            .layer(from_fn(read_rest))
            .with_state(self)
    }

    /// The memory for requests.
    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Decodes, checks and delivers a request, and answers it.
    pub(crate) async fn take<E: Export>(
        &self,
        received: Received,
        is_gzip: bool,
        format: Format,
    ) -> Result<E::Response, Failure> {
        let stored = self.store::<E>(received, is_gzip, format).await?;
        Ok(E::response(stored.accepted))
    }

    /// Decodes, checks and delivers a request.
    pub(crate) async fn store<E: Export>(
        &self,
        received: Received,
        is_gzip: bool,
        format: Format,
    ) -> Result<Stored, Failure> {
        let limit = self.limits.request;
        let read = move |bytes: Bytes| {
            let bytes = match format {
                Format::Protobuf => bytes,
                Format::Json => json::wire(E::table(), &bytes)
                    .map_err(|error| Failure::malformed(error.field(), &error))?
                    .into(),
            };
            let size = size::decoded(E::table(), &bytes);
            Ok((bytes, size))
        };
        let ((bytes, size), _reading) = received.unpack(is_gzip, limit, &self.gate, read).await?;
        let limit = limit.saturating_mul(EXPANSION);
        if size > limit {
            return Err(Failure::TooLargeDecoded { limit });
        }
        let mut stored = Stored::default();
        if size <= STORING {
            let _storing = self.gate.store(size).await?;
            stored.add(&self.store_part::<E>(bytes, size).await?);
        } else {
            let wire = bytes.clone();
            let largest = body::run(size, move || largest_part::<E>(&wire)).await?;
            let _storing = self.gate.store(largest.max(STORING / 4)).await?;
            let wire = bytes.clone();
            // The request is refused as a whole if a part of it is malformed.
            let check = move || split::<E>(&wire, |part, _| decode::<E>(part).map(drop));
            body::run(size, check).await?;
            let (sender, mut parts) = mpsc::channel(1);
            let work = move || {
                // Nobody receives the parts after a failure.
                let send = |part, size| {
                    sender
                        .blocking_send((part, size))
                        .map_err(|_closed| Failure::Internal)
                };
                split::<E>(&bytes, send)
            };
            let store = async {
                while let Some((part, size)) = parts.recv().await {
                    stored.add(&self.store_part::<E>(part, size).await?);
                    yield_now().await;
                }
                drop(parts);
                Ok::<_, Failure>(())
            };
            let (sent, done) = join!(body::run(size, work), store);
            done.and(sent)?;
        }
        let accepted = &stored.accepted;
        if !accepted.is_full_success() {
            self.sink.refused(Refusal {
                signal: Some(E::SIGNAL),
                rejected: Some(accepted.rejected),
                reason: accepted.message.clone(),
            });
        }
        Ok(stored)
    }

    /// Decodes, checks and delivers a request, or a part of one.
    async fn store_part<E: Export>(&self, bytes: Bytes, size: usize) -> Result<Stored, Failure> {
        let work = move || {
            let mut request = decode::<E>(bytes)?;
            let records = request.records();
            let checked = request.check();
            Ok((request, records, checked))
        };
        let (request, records, mut accepted) = body::run(size, work).await?;
        if !request.is_empty() {
            accepted = accepted.and(&request.deliver(&self.sink).await?);
        }
        Ok(Stored { records, accepted })
    }

    /// Reports a request that is refused as a whole.
    pub(crate) fn refused(&self, signal: Option<Signal>, failure: &Failure) {
        self.sink.refused(Refusal {
            signal,
            rejected: None,
            reason: failure.to_string(),
        });
    }
}

fn decode<E: Export>(bytes: Bytes) -> Result<E, Failure> {
    E::decode(bytes).map_err(|error| {
        let error = error.to_string();
        // prost names all messages on the way.
        let error = match error.contains("recursion limit") {
            true => TOO_DEEP,
            false => &error,
        };
        let reason = format!("the body is not an export of {}: {error}", E::SIGNAL);
        Failure::malformed("", &reason)
    })
}

/// Splits a request that takes much memory.
fn split<E: Export>(
    bytes: &[u8],
    take: impl FnMut(Bytes, usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    parts::split(E::table(), E::PATH, bytes, E::PART, take)
}

/// The bytes that the largest part takes in memory.
fn largest_part<E: Export>(bytes: &[u8]) -> Result<usize, Failure> {
    let mut largest = 0;
    split::<E>(bytes, |part, size| {
        largest = largest.max(size);
        let limit = RECORD.max(RECORD_EXPANSION * part.len());
        match size > limit {
            true => Err(Failure::RecordTooLarge { limit }),
            false => Ok(()),
        }
    })?;
    Ok(largest)
}

async fn unknown<S: Sink>(State(receiver): State<Receiver<S>>, request: Request) -> Response {
    let path = request.uri().path().chars().take(200).collect::<String>();
    let failure = Failure::NotFound(
        format!("{path:?} is unknown; this receiver takes /v1/traces, /v1/metrics and /v1/logs")
            .into(),
    );
    receiver.refused(None, &failure);
    refusal(&failure, request.headers())
}

/// The answer to a request that a rule about senders refuses, in the protocol of the request.
#[must_use]
pub fn denied(headers: &HeaderMap, denial: Denial, message: &str) -> Response {
    let message = message.to_owned();
    refusal(&Failure::Denied { denial, message }, headers)
}

fn refusal(failure: &Failure, headers: &HeaderMap) -> Response {
    if grpc::is_grpc(headers) {
        grpc::refusal(failure)
    } else {
        http::refusal(failure, Format::of(headers))
    }
}
