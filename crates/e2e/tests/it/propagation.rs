//! Tests of trace context between processes: from which callers it is used, and how it is passed on.

use std::fmt::Write as _;

use anyhow::{bail, ensure};
use e2e::{
    Collector, Process, System,
    collector::{Received, text},
};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use reqwest::{Client, Method, redirect::Policy};

use crate::{
    tree::{hex, sign_up, tree},
    trial,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "propagation::a_service_without_an_endpoint_does_not_interrupt_a_trace",
            async || service_without_an_endpoint().await,
        ),
        trial(
            "propagation::load_without_an_endpoint_leaves_the_frontend_its_traces",
            async || load_without_an_endpoint().await,
        ),
        trial(
            "propagation::untrusted_trace_context_is_only_linked",
            async || strangers().await,
        ),
        trial(
            "propagation::b3_is_read_and_written_if_it_is_chosen",
            async || b3().await,
        ),
    ]
}

/// Of the three services, only `auth` exports nothing.
async fn service_without_an_endpoint() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let system = System::start_each(|service| {
        let mut variables = vec![("HASH_MEMORY_KIB", "8")];
        if service != "auth" {
            variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()));
        }
        variables
    })
    .await?;
    register(&system, "ann", &[]).await?;
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    register(&system, "bob", &[("traceparent", &unsampled)]).await?;

    let received = stop(system, &collector).await?;
    let pages = servers(&received, "frontend");
    let [page] = pages[..] else {
        bail!("{pages:#?}");
    };
    let of_page = |(_, span): &&(String, Span)| span.trace_id == page.trace_id;
    let spans: Vec<_> = received.spans.iter().filter(of_page).cloned().collect();
    let calls = servers(&received, "user");
    ensure!(calls.len() == 1, "{calls:#?}");
    let expected: String = sign_up()
        .lines()
        .filter(|line| !line.trim_start().starts_with("auth "))
        // The spans of `user` have the depth that they have without `auth`.
        .map(|line| {
            let depth = if line.contains("user ") { 4 } else { 0 };
            format!("{}\n", line.replacen(&" ".repeat(depth), "", 1))
        })
        .collect();
    let tree = tree(&spans);
    ensure!(tree == expected, "{tree}");
    Ok(())
}

async fn load_without_an_endpoint() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let system = System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("HASH_MEMORY_KIB", "8"),
    ])
    .await?;
    let arguments = ["--target", &system.url(""), "--count=3", "--json"];
    let mut loadgen = Process::start("loadgen", &arguments, &[], system.folder.path())?;
    let status = loadgen.ended().await?;
    ensure!(status.success(), "{status}: {:#?}", loadgen.output());

    let received = stop(system, &collector).await?;
    let pages = servers(&received, "frontend");
    ensure!(pages.len() >= 3, "{pages:#?}");
    ensure!(pages.iter().all(|page| page.parent_span_id.is_empty()));
    Ok(())
}

/// A frontend that does not trust this test as a proxy.
async fn strangers() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("PUBLIC_URL", "https://example.org"),
    ];
    let folder = tempfile::tempdir()?;
    for (proxies, trusted) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let mut variables = variables.to_vec();
        variables.extend([("TRUSTED_PROXIES", proxies), ("PORT", "0")]);
        let mut frontend = Process::start("frontend", &[], &variables, folder.path())?;
        let address = frontend.ready().await?;
        for (number, flags) in ["00", "01", "03"].into_iter().enumerate() {
            let trace = format!("{TRACE:.30}{}{number}", if trusted { 1 } else { 2 });
            let response = client()?
                .get(format!("http://{address}/login"))
                .header("traceparent", format!("00-{trace}-{PARENT}-{flags}"))
                .header("x-forwarded-proto", "http")
                .send()
                .await?;
            let page = response.error_for_status()?.text().await?;
            ensure!(page.contains(&trace) == trusted, "{proxies}: {page}");
        }
        let brew = Method::from_bytes(b"BREW")?;
        let request = client()?.request(brew, format!("http://{address}/login"));
        request.send().await?;
        ensure!(frontend.stop().await?.success());
    }

    let received = collector.received();
    let pages = servers(&received, "frontend");
    let mut seen = String::new();
    for page in &pages {
        if let Some(method) = text(&page.attributes, "http.request.method_original") {
            let (name, known) = (&page.name, text(&page.attributes, "http.request.method"));
            ensure!(known == Some("_OTHER"), "{page:#?}");
            writeln!(seen, "{name}: {method}")?;
            continue;
        }
        let scheme = text(&page.attributes, "url.scheme").unwrap_or_default();
        let (id, parent) = (hex(&page.trace_id), hex(&page.parent_span_id));
        let parent = if id.starts_with(&TRACE[..30]) && parent == PARENT {
            format!("below {}", &id[30..])
        } else {
            parent
        };
        write!(seen, "{scheme} {parent} flags {}", page.flags & 0xff)?;
        for link in &page.links {
            let (id, flags) = (hex(&link.trace_id), link.flags & 0xff);
            ensure!(hex(&link.span_id) == PARENT, "{link:?}");
            write!(seen, " linked to {} flags {flags}", &id[30..])?;
        }
        seen.push('\n');
    }
    let expected = "\
        http below 11 flags 1\n\
        http below 12 flags 3\n\
        HTTP /login: BREW\n\
        https  flags 1 linked to 20 flags 0\n\
        https  flags 1 linked to 21 flags 1\n\
        https  flags 1 linked to 22 flags 3\n\
        HTTP /login: BREW\n";
    ensure!(seen == expected, "{seen}");
    Ok(())
}

/// B3 from a proxy, through three services of which the middle one exports nothing.
async fn b3() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let system = System::start_each(|service| {
        let mut variables = vec![
            ("OTEL_PROPAGATORS", "B3multi,nonsense"),
            ("HASH_MEMORY_KIB", "8"),
        ];
        if service != "auth" {
            variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()));
        }
        variables
    })
    .await?;
    let long = format!("{TRACE}-{PARENT}-1");
    let short = &TRACE[16..];
    register(&system, "ann", &[("b3", &long)]).await?;
    let multiple = [("x-b3-traceid", short), ("x-b3-spanid", PARENT)];
    register(&system, "bob", &multiple).await?;
    register(&system, "cid", &[("b3", "0")]).await?;
    // This format is not chosen.
    let unread = [("traceparent", &*format!("00-{TRACE}-{PARENT}-00"))];
    register(&system, "dan", &unread).await?;
    for process in [&system.frontend, &system.auth] {
        let output = process.output().join("\n");
        ensure!(output.contains(r#""name":"nonsense""#), "{output}");
    }

    let received = stop(system, &collector).await?;
    let pages = servers(&received, "frontend");
    let ids: Vec<_> = pages.iter().map(|page| hex(&page.trace_id)).collect();
    let parents: Vec<_> = pages.iter().map(|page| hex(&page.parent_span_id)).collect();
    ensure!(parents == [PARENT, PARENT, ""], "{pages:#?}");
    let padded = format!("{short:0>32}");
    ensure!(ids[..2] == [TRACE, &padded] && ids[2] != TRACE, "{ids:?}");
    let calls = servers(&received, "user");
    let of_user: Vec<_> = calls.iter().map(|call| hex(&call.trace_id)).collect();
    ensure!(of_user == ids, "{of_user:?} is not {ids:?}");
    Ok(())
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().redirect(Policy::none()).build()?)
}

async fn register(system: &System, name: &str, headers: &[(&str, &str)]) -> anyhow::Result<()> {
    let email = format!("{name}@example.com");
    let form = [("email", &*email), ("password", "correct horse battery")];
    let mut request = client()?.post(system.url("/register")).form(&form);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let status = request.send().await?.status();
    ensure!(status.is_redirection(), "{status}");
    Ok(())
}

/// Stops the services, and returns their exports.
async fn stop(system: System, collector: &Collector) -> anyhow::Result<Received> {
    for process in [system.frontend, system.auth, system.user] {
        process.stop().await?;
    }
    Ok(collector.received())
}

/// The server spans of a service, in the order of their start.
fn servers<'a>(received: &'a Received, service: &str) -> Vec<&'a Span> {
    let mut spans: Vec<_> = received
        .spans
        .iter()
        .filter(|(name, span)| name == service && span.kind() == SpanKind::Server)
        .map(|(_, span)| span)
        .collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}
