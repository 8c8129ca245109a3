//! OTLP files: export objects in JSON, or protobuf messages of one signal.
//!
//! The file exporter of the collector writes one object a line, or messages with their length. JSON written by people may
//! have an object over several lines. A file has any size: one object is in memory at a time.

mod frames;
mod objects;
mod split;
mod unpack;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::{sleep, timeout};

use crate::{
    body::Received,
    export::{Export, Signal},
    failure::Failure,
    file::{
        objects::{Object, Objects},
        unpack::Unpacker,
    },
    gate::SMALL,
    http::Format,
    receiver::Receiver,
    sink::{Accepted, Sink},
};

/// Time limit for the next bytes of a file.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Number of attempts to store an object, one a second.
const ATTEMPTS: usize = 30;

/// Compressed bytes that are decompressed in one step. They become 1,000 times as many at most.
const STEP: usize = 2 << 10;

/// Maximum number of refusals, and of other problems, that an [`Import`] has.
const PROBLEMS: usize = 100;

/// What was taken from a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Import {
    /// Number of spans that were accepted.
    pub spans: u64,
    /// Number of data points that were accepted.
    pub points: u64,
    /// Number of log records that were accepted.
    pub logs: u64,
    /// Number of spans that were stored already.
    pub duplicates: u64,
    /// Number of spans, data points and log records that were rejected.
    pub rejected: u64,
    /// Number of objects that were refused as a whole.
    pub refused: u64,
    /// What was refused, rejected or warned about, in the order of the file. At most 100 refusals and 100
    /// others.
    pub problems: Vec<Problem>,
}

/// A problem with an object of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Number of the line where the object begins; of a protobuf file, number of the message. The first is 1.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// The signals of an object.
#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "resourceSpans")]
    spans: Option<IgnoredAny>,
    #[serde(rename = "resourceMetrics")]
    metrics: Option<IgnoredAny>,
    #[serde(rename = "resourceLogs")]
    logs: Option<IgnoredAny>,
}

impl<S: Sink> Receiver<S> {
    /// Takes a file, compressed by gzip or not. Each object is checked as a request is.
    ///
    /// With a signal, the file has protobuf messages of this signal: either one, or any number with the length before
    /// each of them in 4 bytes, most significant first. Without a signal, it has export objects in JSON.
    pub async fn import(&self, body: Body, protobuf: Option<Signal>) -> Import {
        let mut import = Import::default();
        let mut objects = Objects::new(protobuf, self.limits.request);
        if let Err(failure) = self.read(body, &mut objects, &mut import).await {
            import.refuse(objects.line(), failure.to_string());
            self.refused(protobuf, &failure);
        }
        import
    }

    async fn read(
        &self,
        mut body: Body,
        objects: &mut Objects,
        import: &mut Import,
    ) -> Result<(), Failure> {
        let mut unpacker = Unpacker::default();
        loop {
            let Ok(frame) = timeout(ARRIVAL, body.frame()).await else {
                return Err(Failure::Slow(ARRIVAL));
            };
            let Some(frame) = frame else {
                break;
            };
            let frame = frame.map_err(|error| Failure::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            for step in data.chunks(STEP) {
                self.take_bytes(&unpacker.unpack(step)?, objects, import)
                    .await?;
            }
        }
        self.take_bytes(&unpacker.end()?, objects, import).await?;
        if let Some(object) = objects.end()? {
            self.import_object(object, objects.protobuf(), import).await;
        }
        Ok(())
    }

    async fn take_bytes(
        &self,
        mut bytes: &[u8],
        objects: &mut Objects,
        import: &mut Import,
    ) -> Result<(), Failure> {
        while let Some(object) = objects.next(&mut bytes)? {
            self.import_object(object, objects.protobuf(), import).await;
        }
        // Nothing else makes a large file wait for others.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn import_object(&self, object: Object, protobuf: Option<Signal>, import: &mut Import) {
        let line = object.line;
        let Some(bytes) = object.bytes else {
            let limit = self.limits.request;
            let failure = Failure::TooLarge { limit };
            self.refused(protobuf, &failure);
            import.refuse(line, failure.to_string());
            return;
        };
        if let Some(signal) = protobuf {
            self.import_as(signal, Format::Protobuf, line, &bytes, import)
                .await;
            return;
        }
        let keys = match serde_json::from_slice::<Keys>(&bytes) {
            Ok(keys) => keys,
            Err(error) => {
                let failure = Failure::malformed("", &format!("not an export object: {error}"));
                self.refused(None, &failure);
                import.refuse(line, failure.to_string());
                return;
            }
        };
        if keys.spans.is_none() && keys.metrics.is_none() && keys.logs.is_none() {
            let reason =
                "not an export object: it has no resourceSpans, resourceMetrics or resourceLogs";
            import.refuse(line, reason.to_owned());
        }
        for (signal, key) in [
            (Signal::Traces, keys.spans),
            (Signal::Metrics, keys.metrics),
            (Signal::Logs, keys.logs),
        ] {
            if key.is_some() {
                self.import_as(signal, Format::Json, line, &bytes, import)
                    .await;
            }
        }
    }

    async fn import_as(
        &self,
        signal: Signal,
        format: Format,
        line: u64,
        bytes: &Bytes,
        import: &mut Import,
    ) {
        match signal {
            Signal::Traces => {
                self.import_signal::<ExportTraceServiceRequest>(format, line, bytes, import)
                    .await;
            }
            Signal::Metrics => {
                self.import_signal::<ExportMetricsServiceRequest>(format, line, bytes, import)
                    .await;
            }
            Signal::Logs => {
                self.import_signal::<ExportLogsServiceRequest>(format, line, bytes, import)
                    .await;
            }
        }
    }

    async fn import_signal<E: Export>(
        &self,
        format: Format,
        line: u64,
        bytes: &Bytes,
        import: &mut Import,
    ) {
        let mut attempts = 1;
        let stored = loop {
            let stored = async {
                let received =
                    Received::whole(bytes.clone(), bytes.len() > SMALL, self.gate()).await?;
                self.store::<E>(received, false, format).await
            };
            match stored.await {
                Err(Failure::Busy(busy)) if attempts < ATTEMPTS => {
                    attempts += 1;
                    sleep(busy.retry_after).await;
                }
                stored => break stored,
            }
        };
        match stored {
            Ok(stored) => {
                let Accepted {
                    rejected,
                    duplicates,
                    message,
                } = stored.accepted;
                let accepted = stored.records.saturating_sub(rejected + duplicates);
                match E::SIGNAL {
                    Signal::Traces => import.spans += accepted,
                    Signal::Metrics => import.points += accepted,
                    Signal::Logs => import.logs += accepted,
                }
                import.duplicates += duplicates;
                import.rejected += rejected;
                if !message.is_empty() {
                    import.note(line, message);
                }
            }
            Err(failure) => {
                self.refused(Some(E::SIGNAL), &failure);
                import.refuse(line, failure.to_string());
            }
        }
    }
}

impl Import {
    fn refuse(&mut self, line: u64, reason: String) {
        self.refused += 1;
        // Warnings leave room for refusals.
        if self.refused <= PROBLEMS as u64 {
            self.problems.push(Problem { line, reason });
        }
    }

    fn note(&mut self, line: u64, reason: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(Problem { line, reason });
        }
    }
}
