//! A receiver that prints how many spans, metrics and log records arrive:
//! `cargo run -p otlp --example count`.
#![expect(clippy::print_stdout, reason = "the output of an example")]

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use otlp::{Accepted, Busy, Limits, Receiver, Refusal, Sink};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Count;

impl Sink for Count {
    async fn traces(&self, request: ExportTraceServiceRequest) -> Result<Accepted, Busy> {
        let scopes = request
            .resource_spans
            .iter()
            .flat_map(|group| &group.scope_spans);
        println!(
            "{} spans",
            scopes.map(|scope| scope.spans.len()).sum::<usize>()
        );
        Ok(Accepted::default())
    }

    async fn metrics(&self, request: ExportMetricsServiceRequest) -> Result<Accepted, Busy> {
        let scopes = request
            .resource_metrics
            .iter()
            .flat_map(|group| &group.scope_metrics);
        println!(
            "{} metrics",
            scopes.map(|scope| scope.metrics.len()).sum::<usize>()
        );
        Ok(Accepted::default())
    }

    async fn logs(&self, request: ExportLogsServiceRequest) -> Result<Accepted, Busy> {
        let scopes = request
            .resource_logs
            .iter()
            .flat_map(|group| &group.scope_logs);
        println!(
            "{} log records",
            scopes.map(|scope| scope.log_records.len()).sum::<usize>()
        );
        Ok(Accepted::default())
    }

    fn refused(&self, refusal: Refusal) {
        println!("refused: {refusal:?}");
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let routes = Receiver::new(Count, Limits::default()).routes();
    // The usual ports of OTLP over gRPC and over HTTP. Each of them takes both.
    let grpc = TcpListener::bind("127.0.0.1:4317").await?;
    let http = TcpListener::bind("127.0.0.1:4318").await?;
    tokio::try_join!(axum::serve(grpc, routes.clone()), axum::serve(http, routes))?;
    Ok(())
}
