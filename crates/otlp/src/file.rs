//! OTLP files: export objects in JSON, one after the other.
//!
//! The file exporter of the collector writes one object a line. Files written by people may have an object over
//! several lines. A file has any size: one object is in memory at a time.

mod split;

use std::{
    io::{self, Write as _},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
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
    file::split::{Object, Splitter},
    gate::SMALL,
    http::Format,
    receiver::Receiver,
    sink::Sink,
};

/// Time limit for the next bytes of a file.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Number of attempts to store an object, one a second.
const ATTEMPTS: usize = 30;

/// Compressed bytes that are decompressed in one step. They become 1,000 times as many at most.
const STEP: usize = 2 << 10;

/// Maximum number of refusals, and of other problems, that an [`Import`] has.
const PROBLEMS: usize = 100;

/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What was taken from a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Import {
    /// Number of spans that were accepted.
    pub spans: u64,
    /// Number of data points that were accepted.
    pub points: u64,
    /// Number of log records that were accepted.
    pub logs: u64,
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
    /// Number of the line where the object begins. The first is 1.
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
    /// Takes a file of export objects in JSON, compressed by gzip or not. Each object is checked as a request is.
    pub async fn import(&self, body: Body) -> Import {
        let mut import = Import::default();
        let mut splitter = Splitter::new(self.limits.request);
        if let Err(failure) = self.read(body, &mut splitter, &mut import).await {
            import.refuse(splitter.line(), failure.to_string());
            self.refused(None, &failure);
            return import;
        }
        if let Some(object) = splitter.end() {
            self.import_object(object, &mut import).await;
        }
        import
    }

    async fn read(
        &self,
        mut body: Body,
        splitter: &mut Splitter,
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
                self.take_bytes(&unpacker.unpack(step)?, splitter, import)
                    .await;
            }
        }
        self.take_bytes(&unpacker.end()?, splitter, import).await;
        Ok(())
    }

    async fn take_bytes(&self, bytes: &[u8], splitter: &mut Splitter, import: &mut Import) {
        for &byte in bytes {
            if let Some(object) = splitter.push(byte) {
                self.import_object(object, import).await;
            }
        }
        // Nothing else makes a large file wait for others.
        tokio::task::yield_now().await;
    }

    async fn import_object(&self, object: Object, import: &mut Import) {
        let line = object.line;
        let Some(bytes) = object.bytes else {
            let limit = self.limits.request;
            let failure = Failure::TooLarge { limit };
            self.refused(None, &failure);
            import.refuse(line, failure.to_string());
            return;
        };
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
        if keys.spans.is_some() {
            self.import_signal::<ExportTraceServiceRequest>(line, &bytes, import)
                .await;
        }
        if keys.metrics.is_some() {
            self.import_signal::<ExportMetricsServiceRequest>(line, &bytes, import)
                .await;
        }
        if keys.logs.is_some() {
            self.import_signal::<ExportLogsServiceRequest>(line, &bytes, import)
                .await;
        }
    }

    async fn import_signal<E: Export>(&self, line: u64, bytes: &Bytes, import: &mut Import) {
        let mut attempts = 1;
        let stored = loop {
            let stored = async {
                let received =
                    Received::whole(bytes.clone(), bytes.len() > SMALL, self.gate()).await?;
                self.store::<E>(received, false, Format::Json).await
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
                let accepted = stored.records.saturating_sub(stored.accepted.rejected);
                match E::SIGNAL {
                    Signal::Traces => import.spans += accepted,
                    Signal::Metrics => import.points += accepted,
                    Signal::Logs => import.logs += accepted,
                }
                import.rejected += stored.accepted.rejected;
                if !stored.accepted.message.is_empty() {
                    import.note(line, stored.accepted.message);
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

/// Decompresses a file if it is gzip.
#[derive(Default)]
struct Unpacker {
    /// The first byte, until the second one arrives.
    first: Vec<u8>,
    form: Form,
}

#[derive(Default)]
enum Form {
    #[default]
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    fn unpack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut bytes = bytes;
        let mut first;
        if matches!(self.form, Form::Unknown) {
            self.first.extend_from_slice(bytes);
            if self.first.len() < GZIP.len() {
                return Ok(Vec::new());
            }
            first = std::mem::take(&mut self.first);
            self.form = match first.starts_with(&GZIP) {
                true => Form::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
                false => Form::Plain,
            };
            bytes = &mut first;
        }
        match &mut self.form {
            Form::Gzip(decoder) => {
                decoder.write_all(bytes).map_err(|error| bad_gzip(&error))?;
                // What is decompressed otherwise arrives with the next bytes.
                decoder.flush().map_err(|error| bad_gzip(&error))?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Form::Plain | Form::Unknown => Ok(bytes.to_vec()),
        }
    }

    fn end(self) -> Result<Vec<u8>, Failure> {
        match self.form {
            Form::Unknown => Ok(self.first),
            Form::Plain => Ok(Vec::new()),
            Form::Gzip(decoder) => decoder.finish().map_err(|error| bad_gzip(&error)),
        }
    }
}

fn bad_gzip(error: &io::Error) -> Failure {
    Failure::malformed("", &format!("the file is not valid gzip: {error}"))
}
