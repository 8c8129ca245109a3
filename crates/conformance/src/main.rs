//! The program that checks an OTLP receiver.

use std::{
    io::{self, Write as _, stderr, stdout},
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use conformance::{Report, Target};

/// Checks an OTLP receiver by its answers.
///
/// The exit code is 0 if no required case fails, 1 if one fails, and 2 if the run is not possible.
#[derive(Debug, Parser)]
#[command(
    name = "otlp-conformance",
    version,
    after_help = "Example: otlp-conformance --grpc http://127.0.0.1:4317 --http http://127.0.0.1:4318 T5 json"
)]
struct Cli {
    /// URL of OTLP over gRPC, without TLS
    #[arg(long, value_name = "URL", value_parser = url, required_unless_present = "http")]
    grpc: Option<String>,

    /// URL of OTLP over HTTP, without TLS and without a path
    #[arg(long, value_name = "URL", value_parser = url)]
    http: Option<String>,

    /// Limit of a request in bytes that is configured in the receiver
    #[arg(long, value_name = "BYTES", default_value_t = Target::LIMIT)]
    limit: usize,

    /// Format of the table
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Cases to run: ids such as T5b, groups such as T5, or topics (transport, encoding, limits, json, data)
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Columns for a terminal
    #[default]
    Text,
    /// A table for a Markdown document
    Markdown,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli {
        grpc,
        http,
        limit,
        format,
        cases,
    } = Cli::parse();
    let target = Target { grpc, http, limit };
    let report = conformance::run(&target, &cases).await;
    match report.and_then(|report| Ok((print(&report, format)?, report.passed()))) {
        Ok(((), true)) => ExitCode::SUCCESS,
        Ok(((), false)) => ExitCode::FAILURE,
        Err(error) => {
            // If stderr is closed, the exit code still reports the failure.
            let _ = writeln!(stderr(), "otlp-conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn print(report: &Report, format: Format) -> io::Result<()> {
    let mut out = stdout().lock();
    match format {
        Format::Text => writeln!(out, "{report}"),
        Format::Markdown => writeln!(out, "{}", report.markdown()),
    }
}

fn url(text: &str) -> Result<String, String> {
    let url = text
        .parse::<http::Uri>()
        .map_err(|error| error.to_string())?;
    match (url.scheme_str(), url.host(), url.path()) {
        (Some("http"), Some(_), "/" | "") => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("expected http://HOST:PORT".to_owned()),
    }
}
