//! The page before the first span or log record: how to send some.

use maud::{Markup, html};

use super::{plural, refused};
use crate::Lens;

/// A request with one span. A list is in order of time, so it has a time.
fn curl(port: u16) -> String {
    format!(
        r#"now=$(date +%s)
curl http://127.0.0.1:{port}/v1/traces -H 'content-type: application/json' -d '{{"resourceSpans":[{{
  "resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"hello"}}}}]}},
  "scopeSpans":[{{"spans":[{{"name":"first span","kind":2,
    "traceId":"'$(openssl rand -hex 16)'","spanId":"'$(openssl rand -hex 8)'",
    "startTimeUnixNano":"'$now'000000000","endTimeUnixNano":"'$now'020000000"}}]}}]}}]}}'"#
    )
}

fn sdk(port: u16) -> String {
    format!(
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port}
OTEL_EXPORTER_OTLP_PROTOCOL=grpc
OTEL_SERVICE_NAME=my-service"
    )
}

fn telemetrygen(port: u16) -> String {
    format!(
        "telemetrygen traces --otlp-insecure --otlp-endpoint 127.0.0.1:{port} --traces 10 --child-spans 3"
    )
}

pub(super) fn page(lens: &Lens) -> Markup {
    let series = lens.metrics.usage().series as u64;
    let (grpc, http) = lens.otlp_ports();
    html! {
        h1 { "Waiting for telemetry" }
        p.lead {
            "lens has received no span and no log record yet. It takes OTLP over gRPC and HTTP on the ports "
            (grpc) " and " (http) "."
        }
        @if series > 0 {
            p.aside {
                "It has received " a href="/metrics" { (plural(series, "series", "series")) } " of metrics."
            }
        }
        (refused(lens))
        div.card.teach {
            h2 { "From your service" }
            p { "Every OpenTelemetry SDK reads these environment variables:" }
            pre { code { (sdk(grpc)) } }
            p.hint {
                "For OTLP over HTTP, the protocol is " code { "http/protobuf" } " and the port " (http) ". The endpoint is a "
                "base URL: the SDK appends /v1/traces itself."
            }
            h2 { "Without a service" }
            p { "One span with curl:" }
            pre { code { (curl(http)) } }
            p { "Some traces with telemetrygen:" }
            pre { code { (telemetrygen(grpc)) } }
        }
        p.aside { "Reload this page after that. If nothing arrives, see " a href="/doctor" { "Doctor" } "." }
    }
}
