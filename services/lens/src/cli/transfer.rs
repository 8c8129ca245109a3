//! `import` and `export`: files of OTLP.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use bytes::Bytes;
use clap::Args;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use otlp::Signal;
use reqwest::{Body, Method, Response, StatusCode};
use tokio::time::sleep;

use super::{Client, Failure, PACE, Target};
use crate::{
    api::{LOADING, Report},
    pages::line,
    params::Params,
};

/// Bytes of a file that are read at a time.
const PIECE: usize = 64 << 10;

/// The arguments of `lens import`.
#[derive(Args, Clone, Debug)]
#[command(
    after_long_help = "A file has export objects in JSON, such as the file exporter of the collector and \
`lens export` write: one a line, or over several lines. With --signal, it has protobuf of this signal: one message, or \
any number with their lengths, such as the file exporter writes with `format: proto`. gzip is recognised. What cannot \
be used is named by its line or message, and the rest is taken.\n\n\
The exit code is 0 if everything was taken, 1 if something was refused or a file has nothing in it, and 2 if a file \
cannot be read.\n\nExamples:\n\
\x20 lens import telemetry.jsonl\n\
\x20 lens import --signal traces traces.binpb\n\
\x20 cat *.jsonl | lens import -"
)]
pub(super) struct Import {
    /// Files to import; - is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The files have protobuf of this signal: traces, metrics or logs
    #[arg(long, value_name = "SIGNAL")]
    signal: Option<Signal>,

    #[command(flatten)]
    target: Target,
}

/// The arguments of `lens export`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 lens export --output telemetry.jsonl\n\
\x20 lens export | gzip > telemetry.jsonl.gz")]
pub(super) struct Export {
    /// File to write; without it, the standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    target: Target,
}

impl Import {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let client = Client::new(&self.target)?;
        let mut is_complete = true;
        for file in &self.files {
            let name = file.display().to_string();
            let name = line(&name);
            let unreadable = |error| Failure::Usage(format!("cannot read {name}: {error}"));
            let mut reader: Box<dyn Read + Send + Sync> = match file.as_os_str() == "-" {
                true => Box::new(io::stdin()),
                false => Box::new(File::open(file).map_err(unreadable)?),
            };
            // A folder can be opened, but not read.
            let first = read(&mut reader).map_err(unreadable)?;
            let report = send(&client, self.signal, first, reader).await?;
            // The exit code has the outcome too.
            let _ = io::stdout().write_all(format!("{name}: {}\n", summary(&report)).as_bytes());
            let place = if self.signal.is_some() {
                " message "
            } else {
                ""
            };
            for problem in &report.problems {
                chassis::print_error(&format!(
                    "{name}:{place}{}: {}",
                    problem.line,
                    line(&problem.reason)
                ));
            }
            if report.is_empty() {
                chassis::print_error(&format!("{name}: there is nothing in this file"));
            }
            is_complete &= report.rejected + report.refused == 0 && !report.is_empty();
        }
        match is_complete {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::FAILURE),
        }
    }
}

/// What was taken, in words.
fn summary(report: &Report) -> String {
    let stored = match report.duplicates {
        0 => String::new(),
        spans => format!(" (and {spans} that were stored already)"),
    };
    format!(
        "spans: {}{stored}, data points: {}, log records: {}, rejected: {}, refused objects: {}",
        report.spans, report.points, report.logs, report.rejected, report.refused
    )
}

/// Sends a file while it is read.
async fn send(
    client: &Client,
    signal: Option<Signal>,
    first: Bytes,
    reader: Box<dyn Read + Send + Sync>,
) -> Result<Report, Failure> {
    let params = signal.map_or_else(Params::default, |signal| {
        Params::default().with("signal", signal)
    });
    let request = client.request(Method::POST, "/api/import", &params);
    let pieces = stream::unfold((Ok(first), Some(reader)), async |(piece, reader)| {
        // The program does nothing else while it reads.
        match piece {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                let mut reader = reader?;
                let next = read(&mut reader);
                Some((Ok(Frame::data(piece)), (next, Some(reader))))
            }
            Err(error) => Some((Err(error), (Ok(Bytes::new()), None))),
        }
    });
    let request = request.body(Body::wrap(StreamBody::new(pieces)));
    let response = client.send(request).await?;
    // The report says why nothing was taken.
    let response = match response.status() {
        StatusCode::BAD_REQUEST => response,
        _ => client.accepted(response).await?,
    };
    let body = client.body(response).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::Other(format!("the answer is no report: {error}")))
}

/// The next piece of a file. It is empty at the end.
fn read(reader: &mut impl Read) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let length = reader.read(&mut piece)?;
    piece.truncate(length);
    Ok(piece.into())
}

impl Export {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let client = Client::new(&self.target)?;
        let mut response = complete(&client).await?;
        let failed = |error: io::Error| Failure::Other(format!("cannot write the export: {error}"));
        let mut output: Box<dyn Write + Send> = match &self.output {
            None => Box::new(io::stdout()),
            Some(path) => Box::new(File::create(path).map_err(failed)?),
        };
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| client.broken(&error))?
        {
            output.write_all(&chunk).map_err(failed)?;
        }
        output.flush().map_err(failed)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// An export that has everything. Lens loads what an earlier run stored first.
async fn complete(client: &Client) -> Result<Response, Failure> {
    let mut is_told = false;
    loop {
        let request = client.request(Method::GET, "/api/export", &Params::default());
        let response = client.send(request).await?;
        let response = client.accepted(response).await?;
        if !response.headers().contains_key(LOADING) {
            return Ok(response);
        }
        if !is_told {
            chassis::print_error("waiting: lens loads what an earlier run stored");
            is_told = true;
        }
        sleep(PACE).await;
    }
}
