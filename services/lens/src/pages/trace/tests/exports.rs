//! A trace as Markdown and as OTLP JSON.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};

use super::*;

#[tokio::test]
async fn a_trace_can_be_copied_as_markdown() {
    let page = get(&shop(), &format!("{}.md", path(1))).await;
    assert_eq!(page.headers["content-type"], "text/markdown; charset=utf-8");
    for text in [
        "# `web` `span 1`",
        "  web span 2: 90 ms at +5 ms\n    pay span 3: 80 ms at +10 ms, ERROR\n",
        "### `pay` `span 3`",
        "- status: `card declined`",
        "- `http.route`: `/pay`",
        "  - `exception.type`: `Declined`",
        "+20 ms INFO pay charged",
    ] {
        assert!(page.body.contains(text), "{text}:\n{}", page.body);
    }
}

#[tokio::test]
async fn a_trace_can_be_saved_as_otlp_json() {
    let first = shop();
    let answer = get(&first, &format!("{}.json", path(1))).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let name = format!("attachment; filename=\"trace-{}.json\"", trace_id(1));
    assert_eq!(answer.headers["content-disposition"], name.as_str());
    // Unknown members are skipped, so both requests can be read from one object.
    let spans: ExportTraceServiceRequest = otlp::json::decode(answer.body.as_bytes()).unwrap();
    let logs: ExportLogsServiceRequest = otlp::json::decode(answer.body.as_bytes()).unwrap();
    let second = lens();
    second.store.insert_traces(&spans);
    second.store.insert_logs(&logs);
    assert_eq!(
        second.store.trace(trace_id(1)),
        first.store.trace(trace_id(1))
    );
}
