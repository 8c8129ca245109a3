//! `import` and `export`: files of OTLP JSON.

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
use reqwest::{Body, Method, StatusCode};

use super::{Client, Failure, Target};
use crate::{api::Report, pages::line, params::Params};

/// Bytes of a file that are read at a time.
const PIECE: usize = 64 << 10;

/// The arguments of `lens import`.
#[derive(Args, Clone, Debug)]
#[command(
    after_long_help = "A file has export objects in JSON, such as the file exporter of the collector and \
`lens export` write: one a line, or over several lines. What cannot be used is named by its line, and the rest is \
taken.\n\nExamples:\n\
\x20 lens import telemetry.jsonl\n\
\x20 gzip -dc old.jsonl.gz | lens import -"
)]
pub(super) struct Import {
    /// Files to import; - is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

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
            let reader: Box<dyn Read + Send + Sync> = match file.as_os_str() == "-" {
                true => Box::new(io::stdin()),
                false => Box::new(
                    File::open(file)
                        .map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?,
                ),
            };
            let report = send(&client, reader).await?;
            let text = format!(
                "{name}: spans: {}, data points: {}, log records: {}, rejected: {}, refused objects: {}\n",
                report.spans, report.points, report.logs, report.rejected, report.refused
            );
            // The exit code has the outcome too.
            let _ = io::stdout().write_all(text.as_bytes());
            for problem in &report.problems {
                chassis::print_error(&format!(
                    "{name}:{}: {}",
                    problem.line,
                    line(&problem.reason)
                ));
            }
            is_complete &= report.rejected + report.refused == 0;
        }
        match is_complete {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::FAILURE),
        }
    }
}

/// Sends a file while it is read.
async fn send(client: &Client, reader: Box<dyn Read + Send + Sync>) -> Result<Report, Failure> {
    let request = client.request(Method::POST, "/api/import", &Params::default());
    let request = request.body(Body::wrap(StreamBody::new(stream::unfold(
        Some(reader),
        async |reader| {
            // The program does nothing else while it reads.
            let mut reader = reader?;
            let mut piece = vec![0; PIECE];
            match reader.read(&mut piece) {
                Ok(0) => None,
                Ok(length) => {
                    piece.truncate(length);
                    let frame = Frame::data(Bytes::from(piece));
                    Some((Ok(frame), Some(reader)))
                }
                Err(error) => Some((Err(error), None)),
            }
        },
    ))));
    let response = client.send(request).await?;
    // The report says why nothing was taken.
    if response.status() != StatusCode::BAD_REQUEST {
        let response = client.accepted(response).await?;
        let body = client.body(response).await?;
        return read(&body);
    }
    read(&client.body(response).await?)
}

fn read(body: &[u8]) -> Result<Report, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::Other(format!("the answer is no report: {error}")))
}

impl Export {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let client = Client::new(&self.target)?;
        let request = client.request(Method::GET, "/api/export", &Params::default());
        let response = client.send(request).await?;
        let mut response = client.accepted(response).await?;
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
