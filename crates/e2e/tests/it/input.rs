//! Tests of malformed and hostile trace context, which must fail no request and break no trace.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use e2e::{Collector, System, collector::Received};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use proto::{
    auth::v1::{MeRequest, auth_service_client::AuthServiceClient},
    user::v1::{GetUserRequest, get_user_request::Key, user_service_client::UserServiceClient},
};
use reqwest::{
    Client, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use tonic::{Code, Request, metadata::MetadataMap, transport::Endpoint};

use crate::{tree::hex, trial};

const PARENT: &str = "b7ad6b7169203331";

/// A value in baggage, which may be private, so no log may have it.
const PRIVATE: &str = "ann of baggage";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "input::no_trace_context_fails_a_page_or_breaks_its_trace",
            async || pages().await,
        ),
        trial(
            "input::no_trace_context_fails_a_call_or_breaks_its_trace",
            async || calls().await,
        ),
    ]
}

/// A set of headers and its description.
struct Case {
    what: &'static str,
    headers: Vec<(&'static str, Vec<u8>)>,
    /// The trace that must be continued; `None` if a new one must begin.
    continues: Option<String>,
}

fn cases() -> Vec<Case> {
    const PARENTS: [(&str, &str); 10] = [
        ("empty", ""),
        ("text", "trace"),
        (
            "of another length",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ),
        (
            "a trace id of zeros",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ),
        (
            "a span id of zeros",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ),
        (
            "a version that must not be",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        (
            "a version that is none",
            "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        (
            "capital letters",
            "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        ),
        (
            "more than its version has",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ),
        (
            "flags that are none",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
        ),
    ];
    let mut cases: Vec<_> = PARENTS
        .into_iter()
        .map(|(what, parent)| (what, vec![("traceparent", parent.into())]))
        .collect();
    let some_parent = |digit: &str| {
        let id = digit.repeat(32);
        format!("00-{id}-{PARENT}-01").into_bytes()
    };
    cases.extend([
        ("not UTF-8", vec![("traceparent", vec![0xff, 0xfe, 0x80])]),
        ("very long", vec![("traceparent", b"0".repeat(8 << 10))]),
        // The server cannot know which one is right.
        (
            "two parents",
            vec![
                ("traceparent", some_parent("a")),
                ("traceparent", some_parent("b")),
            ],
        ),
        (
            "a state without a parent",
            vec![("tracestate", b"a=b".to_vec())],
        ),
    ]);
    let mut cases: Vec<_> = cases
        .into_iter()
        .map(|(what, headers)| Case {
            what,
            headers,
            continues: None,
        })
        .collect();

    let many = |pair: &dyn Fn(usize) -> String| {
        let pairs: Vec<_> = (0..1000).map(pair).collect();
        pairs.join(",").into_bytes()
    };
    let beside: [(&str, &str, Vec<u8>); 12] = [
        ("a parent", "accept", b"*/*".to_vec()),
        ("a state", "tracestate", b"a=b,c=d".to_vec()),
        (
            "a state that is not UTF-8",
            "tracestate",
            vec![b'a', b'=', 0xff],
        ),
        ("a malformed state", "tracestate", b"=,a,b==c=,,".to_vec()),
        (
            "a state of 1000 members",
            "tracestate",
            many(&|n| format!("k{n}=v")),
        ),
        ("baggage", "baggage", b"a=b;c=d".to_vec()),
        (
            "baggage that is not UTF-8",
            "baggage",
            vec![b'a', b'=', 0xff],
        ),
        (
            "malformed baggage",
            "baggage",
            format!("=,a,;;=,b==c=%zz%,,{PRIVATE}").into(),
        ),
        (
            "baggage that does not decode",
            "baggage",
            format!("{PRIVATE}=%ff").into(),
        ),
        (
            "baggage of 1000 members",
            "baggage",
            many(&|n| format!("k{n}=v")),
        ),
        (
            "long baggage",
            "baggage",
            [b"a=".to_vec(), b"b".repeat(8 << 10)].concat(),
        ),
        // Encoded again, each of these characters takes three bytes.
        (
            "baggage that grows",
            "baggage",
            [b"a=".to_vec(), b"\"".repeat(8000)].concat(),
        ),
    ];
    for (number, (what, name, value)) in beside.into_iter().enumerate() {
        let id = format!("{:032x}", 0x0af7_6519 + number);
        let parent = format!("00-{id}-{PARENT}-01").into_bytes();
        cases.push(Case {
            what,
            headers: vec![("traceparent", parent), (name, value)],
            continues: Some(id),
        });
    }
    // Future versions may add fields.
    for (what, version, rest) in [
        ("a later version", "01", ""),
        ("a far later version", "cc", "-x"),
    ] {
        let id = format!("{version}{}", "1".repeat(30));
        cases.push(Case {
            what,
            headers: vec![(
                "traceparent",
                format!("{version}-{id}-{PARENT}-01{rest}").into(),
            )],
            continues: Some(id),
        });
    }
    cases
}

impl Case {
    fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).context(self.what)?;
            headers.append(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    /// The fault of a trace with these headers; `None` if it is right.
    fn fault(&self, root: &Span) -> Option<String> {
        let (id, parent) = (hex(&root.trace_id), hex(&root.parent_span_id));
        let right = match &self.continues {
            Some(wanted) => id == *wanted && parent == PARENT,
            None => parent.is_empty(),
        };
        let (what, wanted) = (self.what, &self.continues);
        (!right).then(|| format!("{what}: {id} below {parent:?} instead of {wanted:?}"))
    }
}

async fn start(collector: &Collector) -> anyhow::Result<System> {
    System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("HASH_MEMORY_KIB", "8"),
        ("FAILED_LOGINS_PER_ACCOUNT", "1000"),
        ("FAILED_LOGINS_PER_ADDRESS", "1000"),
    ])
    .await
}

/// Stops the services, checks that none has failed, and returns their exports.
async fn stop(system: System, collector: &Collector) -> anyhow::Result<Received> {
    for mut process in [system.frontend, system.auth, system.user] {
        process.signal(Signal::SIGTERM)?;
        let status = process.ended().await?;
        ensure!(status.success(), "{status}");
        let output = process.output().join("\n");
        for unwanted in ["panicked", PRIVATE] {
            ensure!(!output.contains(unwanted), "{unwanted}: {output}");
        }
    }
    Ok(collector.received())
}

async fn pages() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let system = start(&collector).await?;
    let client = Client::builder().redirect(Policy::none()).build()?;
    // This page involves all three services and names its trace.
    let page = async |headers: HeaderMap| -> anyhow::Result<(StatusCode, String, String)> {
        let form = [
            ("email", "ann@example.com"),
            ("password", "correct horse battery"),
        ];
        let request = client.post(system.url("/login")).form(&form);
        let response = request.headers(headers).send().await?;
        let status = response.status();
        let page = response.text().await?;
        let (text, rest) = page
            .split_once("made by trace <code>")
            .with_context(|| format!("{status}: {page}"))?;
        let (id, _) = rest.split_once('<').context("no end")?;
        Ok((status, text.to_owned(), id.to_owned()))
    };

    let (status, text, _) = page(HeaderMap::new()).await?;
    ensure!(status == StatusCode::UNAUTHORIZED, "{status}");
    let (mut seen, mut faults) = (Vec::new(), Vec::new());
    for case in cases() {
        let answer = page(case.headers()?).await.context(case.what)?;
        if answer.0 != status || answer.1 != text {
            faults.push(format!("{}: answered {}", case.what, answer.0));
        }
        seen.push((case, answer.2));
    }

    let received = stop(system, &collector).await?;
    let ids: BTreeSet<_> = seen.iter().map(|(_, id)| id).collect();
    ensure!(ids.len() == seen.len(), "a trace is of several requests");
    for (case, id) in &seen {
        let spans: Vec<_> = received
            .spans
            .iter()
            .filter(|(_, span)| hex(&span.trace_id) == *id)
            .collect();
        if spans.len() != 8 {
            faults.push(format!("{}: {} spans of {id}", case.what, spans.len()));
        }
        let of_frontend = |(service, span): &&&(String, Span)| {
            service == "frontend" && span.kind() == SpanKind::Server
        };
        let (_, root) = spans.iter().find(of_frontend).context("no root")?;
        faults.extend(case.fault(root));
    }
    ensure!(faults.is_empty(), "{faults:#?}");
    Ok(())
}

async fn calls() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let system = start(&collector).await?;
    let channel = |address| Endpoint::from_shared(format!("http://{address}"));
    let auth = channel(system.auth_address)?.connect().await?;
    let user = channel(system.user_address)?.connect().await?;
    let (mut auth, mut user) = (AuthServiceClient::new(auth), UserServiceClient::new(user));

    for case in cases() {
        let metadata = MetadataMap::from_headers(case.headers()?);
        let mut me = Request::new(MeRequest { token: "x".into() });
        *me.metadata_mut() = metadata.clone();
        let status = auth.me(me).await.err().context("a token of one letter")?;
        ensure!(
            status.code() == Code::Unauthenticated,
            "{}: {status}",
            case.what
        );

        let id = "01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
        let mut get = Request::new(GetUserRequest {
            key: Some(Key::Id(id)),
        });
        *get.metadata_mut() = metadata;
        let status = user.get_user(get).await.err().context("an unknown id")?;
        ensure!(status.code() == Code::NotFound, "{}: {status}", case.what);
    }

    let received = stop(system, &collector).await?;
    for name in ["auth.v1.AuthService/Me", "user.v1.UserService/GetUser"] {
        let mut roots: Vec<_> = received
            .spans
            .iter()
            .map(|(_, span)| span)
            .filter(|span| span.name == name && span.kind() == SpanKind::Server)
            .collect();
        // The calls were made one after the other, so this is their order.
        roots.sort_by_key(|span| span.start_time_unix_nano);
        ensure!(roots.len() == cases().len(), "{name}: {}", roots.len());
        let pairs = cases().into_iter().zip(roots);
        let faults: Vec<_> = pairs.filter_map(|(case, root)| case.fault(root)).collect();
        ensure!(faults.is_empty(), "{name}: {faults:#?}");
    }
    Ok(())
}
