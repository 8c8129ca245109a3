//! Tests of head sampling by the standard variables. A trace that is not sampled has no spans and no exemplars, but it
//! has logs and metrics.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use e2e::{Collector, System, collector::Received};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::{metrics::v1::metric::Data, trace::v1::Span};
use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::Value;

use crate::{
    tree::{hex, sign_up, tree},
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "sampling::without_a_sampler_each_trace_is_exported_with_exemplars",
            async || {
                let run = sign_ups(&[], &[], 2).await?;
                ensure!(whole_traces(&run)?.len() == 2, "{:#?}", run.logged);
                ensure!(exemplars(&run.received) > 0, "no exemplars");
                Ok(())
            },
        ),
        trial(
            "sampling::of_no_traces_keeps_logs_and_metrics",
            async || {
                let run = sign_ups(&[("OTEL_TRACES_SAMPLER", "always_off")], &[], 2).await?;
                ensure!(run.received.spans.is_empty(), "{:#?}", run.received.spans);
                ensure!(exemplars(&run.received) == 0, "exemplars without a trace");
                ensure!(run.logged.len() == 2, "{:#?}", run.logged);
                let metrics = run.received.metrics.iter();
                let count = metrics.filter(|(_, metric)| metric.name == "user.registrations");
                ensure!(count.count() > 0, "no metrics");
                Ok(())
            },
        ),
        trial(
            "sampling::of_half_of_the_traces_keeps_them_whole",
            async || half_of_the_traces().await,
        ),
    ]
}

async fn half_of_the_traces() -> anyhow::Result<()> {
    const COUNT: usize = 24;
    let half = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ];
    // The first service decides. The sampler of the last one is not used.
    let none = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ];
    let run = sign_ups(&half, &none, COUNT).await?;
    let whole = whole_traces(&run)?.len();
    // By chance, fewer than one run in a million has all or none of them.
    ensure!(0 < whole && whole < COUNT, "{whole} of {COUNT}");
    Ok(())
}

/// The telemetry of some sign-ups.
struct Run {
    received: Received,
    /// The services with a trace in their logs, by trace. The logs on stdout and the exported ones are the same.
    logged: BTreeMap<String, BTreeSet<String>>,
}

async fn sign_ups(
    variables: &[(&str, &str)],
    of_user: &[(&str, &str)],
    count: usize,
) -> anyhow::Result<Run> {
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let system = System::start_each(|service| {
        let mut all = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("HASH_MEMORY_KIB", "8"),
        ];
        all.extend(variables);
        if service == "user" {
            all.extend(of_user);
        }
        all
    })
    .await?;
    let client = Client::builder().redirect(Policy::none()).build()?;
    for number in 0..count {
        let email = format!("ann{number}@example.com");
        let form = [
            ("email", email.as_str()),
            ("password", "correct horse battery"),
        ];
        let request = client.post(system.url("/register")).form(&form);
        let status = request.send().await?.status();
        ensure!(status == StatusCode::SEE_OTHER, "{status}");
    }
    let mut logged = BTreeMap::<_, BTreeSet<_>>::new();
    let System {
        frontend,
        mut auth,
        mut user,
        ..
    } = system;
    frontend.stop().await?;
    for (service, process) in [("auth", &mut auth), ("user", &mut user)] {
        // A record may be written to stdout after its request was answered, so the process must
        // end first.
        process.signal(Signal::SIGTERM)?;
        process.ended().await?;
        for line in process.output() {
            let record: Value = serde_json::from_str(&line)?;
            if let Some(id) = record["trace_id"].as_str() {
                let services = logged.entry(id.to_owned()).or_default();
                services.insert(service.to_owned());
            }
        }
    }

    let received = collector.received();
    let mut exported = BTreeMap::<_, BTreeSet<_>>::new();
    for (service, record) in &received.logs {
        if !record.trace_id.is_empty() {
            let services = exported.entry(hex(&record.trace_id)).or_default();
            services.insert(service.clone());
        }
    }
    ensure!(exported == logged, "{exported:#?} is not {logged:#?}");
    let both = BTreeSet::from(["auth".to_owned(), "user".to_owned()]);
    ensure!(logged.values().all(|services| *services == both));
    ensure!(logged.len() == count, "{logged:#?}");
    Ok(Run { received, logged })
}

/// The sign-ups with an exported trace. Checks that these traces are complete.
fn whole_traces(run: &Run) -> anyhow::Result<Vec<String>> {
    let mut whole = Vec::new();
    for id in run.logged.keys() {
        let of_trace = |(_, span): &&(String, Span)| hex(&span.trace_id) == *id;
        let spans: Vec<_> = run
            .received
            .spans
            .iter()
            .filter(of_trace)
            .cloned()
            .collect();
        if !spans.is_empty() {
            let tree = tree(&spans);
            ensure!(tree == sign_up(), "{tree}");
            whole.push(id.clone());
        }
    }
    Ok(whole)
}

fn exemplars(received: &Received) -> usize {
    let count = |data: &Data| match data {
        Data::Histogram(data) => data.data_points.iter().map(|p| p.exemplars.len()).sum(),
        Data::ExponentialHistogram(data) => {
            data.data_points.iter().map(|p| p.exemplars.len()).sum()
        }
        _ => 0,
    };
    let data = received
        .metrics
        .iter()
        .filter_map(|(_, metric)| metric.data.as_ref());
    data.map(count).sum()
}
