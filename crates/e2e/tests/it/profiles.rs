//! Tests of profiles: the collector, our services, Pyroscope and Grafana together.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use e2e::{
    Stack, System,
    stack::PYROSCOPE,
    system::{eventually, sign_up},
};
use libtest_mimic::Trial;
use proto::auth::v1::MeRequest;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::{busy::GRAFANA, trial_with};

const COLLECTOR: &str = "otel-collector";

/// The type of profiles of processor time, which Grafana's links use.
const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

/// The time until a profile is found. Services make one each 10 s.
const WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_with(
            "profiles::a_profile_that_is_sent_by_otlp_is_found_by_its_service",
            Stack::missing(&[COLLECTOR, PYROSCOPE]),
            async || by_otlp().await,
        ),
        trial_with(
            "profiles::functions_of_a_service_under_load_are_in_its_flame_graph",
            Stack::missing(&[PYROSCOPE]),
            async || of_a_service().await,
        ),
        trial_with(
            "profiles::grafana_has_the_data_source_and_the_links_from_spans",
            Stack::missing(&[COLLECTOR, "tempo", PYROSCOPE, GRAFANA]),
            async || in_grafana().await,
        ),
    ]
}

async fn by_otlp() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &[COLLECTOR, PYROSCOPE]).await?;
    send(&stack.otlp_http()).await?;
    eventually(WITHIN, async || {
        let functions = functions(&stack, "shop").await?;
        ensure!(functions == ["total", "main", "order"], "{functions:?}");
        Ok(())
    })
    .await
}

async fn of_a_service() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &[PYROSCOPE]).await?;
    let pyroscope = format!("http://{}", stack.address("PYROSCOPE_PORT"));
    let system = System::start(&[("PYROSCOPE_URL", &pyroscope)]).await?;
    let (mut client, token) = sign_up(system.auth_address).await?;
    eventually(WITHIN, async || {
        for _ in 0..1_000 {
            let token = token.clone();
            client.me(MeRequest { token }).await?;
        }
        for (service, function) in [("auth", "auth::grpc"), ("user", "user::")] {
            let functions = functions(&stack, service).await?;
            let has_it = functions.iter().any(|name| name.contains(function));
            ensure!(has_it, "{service}: {functions:?}");
        }
        Ok(())
    })
    .await
}

async fn in_grafana() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = [COLLECTOR, "tempo", PYROSCOPE, GRAFANA];
    let stack = Stack::start(folder.path(), &wanted).await?;
    send(&stack.otlp_http()).await?;
    let http = Client::new();
    let grafana = format!("http://{}", stack.address("GRAFANA_PORT"));

    // Without signing in.
    let (from, until) = around_now()?;
    let query = json!({
        "from": from.to_string(),
        "to": until.to_string(),
        "queries": [{
            "refId": "A",
            "datasource": { "uid": "pyroscope" },
            "queryType": "profile",
            "profileTypeId": TYPE,
            "labelSelector": r#"{service_name="shop"}"#,
        }],
    });
    eventually(WITHIN, async || {
        let request = http
            .post(format!("{grafana}/api/ds/query"))
            .body(query.to_string());
        let request = request.header("content-type", "application/json");
        let answer = request.send().await?.text().await?;
        ensure!(answer.contains("order"), "{answer}");
        Ok(())
    })
    .await?;
    let correlations = http
        .get(format!("{grafana}/api/datasources/correlations"))
        .send()
        .await?
        .error_for_status()?;
    let correlations: Value = serde_json::from_str(&correlations.text().await?)?;
    let [link] = correlations["correlations"]
        .as_array()
        .context("no list")?
        .as_slice()
    else {
        anyhow::bail!("{correlations}");
    };
    ensure!(
        link["sourceUID"] == "tempo" && link["config"]["field"] == "serviceName",
        "{link}"
    );
    let url = link["config"]["target"]["url"].as_str().context("no URL")?;
    // What Grafana fills in for a span of the service.
    let panes = url.split_once("&panes=").context("no panes")?.1;
    let panes = panes
        .replace("${serviceName}", "shop")
        .replace("${start}", "17957999");
    let panes: Value = serde_json::from_str(&panes).context(panes)?;
    let query = &panes["profile"]["queries"][0];
    ensure!(query["datasource"]["uid"] == "pyroscope", "{panes}");
    ensure!(query["profileTypeId"] == TYPE, "{panes}");
    ensure!(
        query["labelSelector"] == r#"{service_name="shop"}"#,
        "{panes}"
    );
    let range = json!({ "from": "1795799900000", "to": "1795799999999" });
    ensure!(panes["profile"]["range"] == range, "{panes}");

    let password = folder.path().join("data/secrets/grafana-admin-password");
    let password = fs::read_to_string(password)?;
    let tempo = http
        .get(format!("{grafana}/api/datasources/uid/tempo"))
        .basic_auth("admin", Some(password.trim()))
        .send()
        .await?
        .error_for_status()?;
    let tempo: Value = serde_json::from_str(&tempo.text().await?)?;
    let link = &tempo["jsonData"]["tracesToProfiles"];
    ensure!(link["datasourceUid"] == "pyroscope", "{tempo}");
    ensure!(link["profileTypeId"] == TYPE, "{tempo}");
    Ok(())
}

/// Sends a profile of the service `shop` to the collector: 99 samples of `order`, which `main` calls.
async fn send(endpoint: &str) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = now.as_nanos().to_string();
    let samples = json!({ "typeStrindex": 1, "unitStrindex": 2 });
    let processor = json!({ "typeStrindex": 3, "unitStrindex": 4 });
    let body = json!({
        "resourceProfiles": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": "shop" } },
            ] },
            "scopeProfiles": [{ "profiles": [{
                "sampleType": samples,
                "periodType": processor,
                "period": "10000000",
                "timeUnixNano": now,
                "durationNano": "1000000000",
                "profileId": "000102030405060708090a0b0c0d0e0f",
                "samples": [{ "stackIndex": 1, "values": ["99"] }],
            }] }],
        }],
        "dictionary": {
            "mappingTable": [{}],
            "locationTable": [
                {},
                { "lines": [{ "functionIndex": 1, "line": "7" }] },
                { "lines": [{ "functionIndex": 2, "line": "1" }] },
            ],
            "functionTable": [{}, { "nameStrindex": 5 }, { "nameStrindex": 6 }],
            "linkTable": [{}],
            "stringTable": ["", "samples", "count", "cpu", "nanoseconds", "order", "main"],
            "attributeTable": [{}],
            "stackTable": [{}, { "locationIndices": [1, 2] }],
        },
    });
    let request = Client::new()
        .post(format!("{endpoint}/v1development/profiles"))
        .header("content-type", "application/json")
        .body(body.to_string());
    request.send().await?.error_for_status()?;
    Ok(())
}

/// The names in the flame graph of a service, from the root on.
async fn functions(stack: &Stack, service: &str) -> anyhow::Result<Vec<String>> {
    let url = format!(
        "http://{}/pyroscope/render",
        stack.address("PYROSCOPE_PORT")
    );
    let (from, until) = around_now()?;
    let query = format!("{TYPE}{{service_name=\"{service}\"}}");
    let parameters = [
        ("query", query),
        ("from", from.to_string()),
        ("until", until.to_string()),
    ];
    let answer = Client::new()
        .get(Url::parse_with_params(&url, parameters)?)
        .send()
        .await?;
    let answer = answer.error_for_status()?.text().await?;
    let mut answer: Value = serde_json::from_str(&answer)?;
    Ok(serde_json::from_value(
        answer["flamebearer"]["names"].take(),
    )?)
}

/// An hour before and a minute after now, in milliseconds.
fn around_now() -> anyhow::Result<(u64, u64)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = u64::try_from(now.as_millis())?;
    Ok((now - 3_600_000, now + 60_000))
}
