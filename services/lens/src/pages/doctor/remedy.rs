//! What to do about a reason to refuse telemetry.

/// Words of a reason, and what to do about it.
const REMEDIES: [(&str, &str); 24] = [
    (
        "the content type is",
        "Set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, http/json or grpc. A sender of another protocol, such as \
         Zipkin, needs its OTLP exporter.",
    ),
    (
        "this path takes gRPC",
        "The sender speaks HTTP and uses a path of gRPC. Set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, and the \
         endpoint to the address without a path.",
    ),
    ("gRPC-Web", "Use the OTLP exporter for HTTP in the browser."),
    (
        "; use gzip or",
        "Set OTEL_EXPORTER_OTLP_COMPRESSION to gzip or none.",
    ),
    (
        "not valid gzip",
        "The header says gzip, and the body is something else. A proxy may have unpacked it.",
    ),
    (
        "the header grpc-encoding is missing",
        "The message is compressed without the header for it. A proxy may have removed the header.",
    ),
    (
        "bytes, the limit of this receiver",
        "Send smaller batches, for instance with OTEL_BSP_MAX_EXPORT_BATCH_SIZE, or give lens more memory with \
         LENS_MEMORY: a request may have a quarter of it, up to 64 MiB.",
    ),
    (
        "a single record would take",
        "One span, data point or log record has very many attributes, events or elements. Send fewer of them in one \
         record.",
    ),
    (
        "of memory, the limit of this receiver",
        "Send smaller batches, or give lens more memory with LENS_MEMORY.",
    ),
    (
        "temporality",
        "A sum or a histogram has to say whether its points are cumulative or delta. SDKs do. An exporter written by \
         hand, or an old one, has to set aggregation_temporality.",
    ),
    (
        "id has a length",
        "A trace id has 16 bytes and a span id 8. In JSON they are 32 and 16 hexadecimal digits, not base64.",
    ),
    (
        "id is all zeros",
        "An id of zeros is not valid. A span that is not sampled must not be exported.",
    ),
    (
        " nest deeper than ",
        "An attribute has maps in maps, more levels than any of the SDKs makes. Send it as text, such as JSON in a string.",
    ),
    (
        "those of another span that is stored",
        "Span ids must be unique in a trace. Check code that sets ids itself, and processes that are forked after the \
         generator of ids has its seed.",
    ),
    (
        "the id of the parent is not 8 bytes long",
        "A span id has 8 bytes, and so has the id of a parent. In JSON it has 16 hexadecimal digits.",
    ),
    (
        "the secret of this receiver",
        "Set OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20SECRET with the secret of LENS_OTLP_TOKEN.",
    ),
    (
        "of new series",
        "An attribute with many values, such as a user id or a full URL, makes a series for each of them. Remove it \
         with a view, or give lens more memory with LENS_MEMORY.",
    ),
    (
        "busy with other requests",
        "The sender was told to retry. Nothing is lost unless its own queue overflows.",
    ),
    (
        "send telemetry by POST",
        "A browser or a health check opened a path of OTLP. Senders use POST.",
    ),
    (
        "speaks TLS",
        "Begin the endpoint with http:// instead of https://. An endpoint of gRPC without a scheme needs \
         OTEL_EXPORTER_OTLP_INSECURE=true. For TLS, put a proxy in front of lens.",
    ),
    (
        "that are no HTTP request",
        "Send OTLP to this port. The collector translates other protocols, such as those of Jaeger, statsd and \
         Fluentd.",
    ),
    (
        "more headers",
        "Remove some of OTEL_EXPORTER_OTLP_HEADERS, or what a proxy adds.",
    ),
    (
        "a page of another site",
        "A web site tried to send telemetry from a browser. Pages of this machine, such as http://localhost:3000, may \
         send. Others need a proxy under their own address.",
    ),
    (
        "the port of the pages",
        "Send telemetry to the OTLP ports of lens, by default 4317 and 4318.",
    ),
];

/// What to do about a reason, if it is known.
pub(super) fn remedy(reason: &str) -> Option<&'static str> {
    if let Some((path, _)) = reason.split_once("\" is unknown; this receiver takes") {
        return Some(endpoint(path.trim_start_matches('"')));
    }
    if reason.contains("a name other than localhost") {
        return Some(
            "If the name is yours, start lens with LENS_ALLOWED_HOSTS=NAME. Otherwise a web site may have tried to \
             read your telemetry.",
        );
    }
    let found = REMEDIES.iter().find(|(words, _)| reason.contains(words));
    found.map(|(_, remedy)| *remedy)
}

/// The setting that leads to an unknown path.
fn endpoint(path: &str) -> &'static str {
    let signals = ["/v1/traces", "/v1/metrics", "/v1/logs"];
    let times = signals
        .iter()
        .map(|signal| path.matches(signal).count())
        .sum::<usize>();
    match path {
        _ if times > 1 => {
            "The endpoint has the path already, and the SDK appended it again. Set OTEL_EXPORTER_OTLP_ENDPOINT to the \
             address alone, such as http://127.0.0.1:4318. Only OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and its like take \
             a whole URL."
        }
        "/" => {
            "The sender posts to the address without a path. OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and its like are used \
             as they are: append /v1/traces, or set OTEL_EXPORTER_OTLP_ENDPOINT instead. Or a browser opened this \
             port: the pages of lens are at another one."
        }
        _ if signals.iter().any(|signal| path.ends_with(signal)) => {
            "The endpoint has a path before the one of OTLP, as some vendors need it. Remove it: lens takes the \
             address alone."
        }
        _ if signals.iter().any(|signal| path.starts_with(signal)) => {
            "Remove what follows the path of OTLP, such as a slash at the end of the endpoint."
        }
        "/v1/trace" | "/v1/spans" | "/v1/metric" | "/v1/log" | "/traces" | "/metrics" | "/logs" => {
            "The path is misspelt. With OTEL_EXPORTER_OTLP_ENDPOINT the SDK appends the right one itself."
        }
        "/api/v1/spans" | "/api/v2/spans" => {
            "This is the protocol of Zipkin. Use the OTLP exporter: OTEL_TRACES_EXPORTER=otlp."
        }
        "/api/traces" => {
            "This is the protocol of Jaeger. Use the OTLP exporter: OTEL_TRACES_EXPORTER=otlp."
        }
        "/api/v1/write" | "/loki/api/v1/push" => {
            "This is the protocol of Prometheus or Loki. lens takes OTLP only."
        }
        _ if path.contains("profiles") => "lens stores no profiles. Turn their exporter off.",
        _ if path.starts_with("/jaeger.") => {
            "This is the protocol of Jaeger. Use the OTLP exporter: OTEL_TRACES_EXPORTER=otlp."
        }
        "/favicon.ico" | "/robots.txt" => {
            "A browser opened this port. The pages of lens are at another one."
        }
        _ => {
            "Set OTEL_EXPORTER_OTLP_ENDPOINT to the address alone, such as http://127.0.0.1:4318. The SDK appends the \
             path."
        }
    }
}
