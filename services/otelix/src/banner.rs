//! What a newcomer reads first.

use std::net::SocketAddr;

use crate::Config;

/// Says where to go, what this is, and what it is not.
pub(crate) fn print(
    config: &Config,
    pages: SocketAddr,
    auth: SocketAddr,
    user: SocketAddr,
    has_broker: bool,
) {
    let version = env!("CARGO_PKG_VERSION");
    let data = config.data.path.display();
    let exported = match config.telemetry.otlp.endpoint() {
        Some(endpoint) if !config.telemetry.sdk_disabled => {
            format!("traces, metrics and logs go to {endpoint}")
        }
        _ => "logs on this terminal; no traces or metrics are sent".to_owned(),
    };
    let events = match &config.events.kafka_brokers {
        Some(brokers) if has_broker => format!("a broker in this process, {brokers}"),
        Some(brokers) => format!("brokers {brokers}"),
        None => "none".to_owned(),
    };
    chassis::print(&format!(
        "\
otelix {version}: user, auth and frontend in one process

  open       http://{pages}
  gRPC       auth {auth}, user {user} (with reflection)
  data       {data}
  events     {events}
  telemetry  {exported}
  load       cargo run -p loadgen -- --target http://{pages} --duration 10s

This is the small version. With OTEL_EXPORTER_OTLP_ENDPOINT set to an OpenTelemetry
Collector, each request can be followed in Tempo, Prometheus, Loki and Grafana.
Stop with Ctrl-C.

"
    ));
}
