//! What process-compose.yaml says, without starting anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use chassis::stop::STOP;
use e2e::{
    compose::{Compose, Described, ROOT},
    stack::FILES,
};
use libtest_mimic::Trial;
use preflight::PORTS;

use crate::{ONE_SHOT, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let check = |name: &str, test: fn(&Compose) -> anyhow::Result<()>| {
        trial(name, Vec::new(), async move || {
            let services = ["process-compose.yaml", "process-compose.services.yaml"];
            let lgtm = ["process-compose.yaml", "process-compose.lgtm.yaml"];
            for files in [&FILES[..1], FILES, &services, &lgtm] {
                test(&Compose::read(files, &BTreeMap::new())?)
                    .with_context(|| files.join(" and "))?;
            }
            Ok(())
        })
    };
    vec![
        check("files::every_process_is_described", described),
        check("files::every_process_is_watched_and_restarted", watched),
        check(
            "files::every_process_is_waited_for_until_it_is_ready",
            ready,
        ),
        check(
            "files::every_configuration_that_is_named_exists",
            configured,
        ),
        check("files::no_supervisor_kills_during_a_drain", drains),
        check("files::every_port_is_one_of_the_table", ports),
        check("files::nothing_listens_on_other_interfaces", loopback),
    ]
}

fn supervised(compose: &Compose) -> impl Iterator<Item = (&String, &Described)> {
    let all = compose.processes.iter();
    all.filter(|(name, _)| *name != ONE_SHOT)
}

fn described(compose: &Compose) -> anyhow::Result<()> {
    let names: Vec<&str> = compose.processes.keys().map(String::as_str).collect();
    let expected = [
        "alertmanager",
        "auth",
        "broker",
        "frontend",
        "grafana",
        "loadgen",
        "loki",
        "otel-collector",
        "preflight",
        "prometheus",
        "redpanda-console",
        "tempo",
        "user",
        "vitals",
    ];
    ensure!(names == expected, "{names:?}");
    for (name, process) in &compose.processes {
        ensure!(process.description.is_some(), "{name} has no description");
        ensure!(process.namespace.is_some(), "{name} has no namespace");
        let log = process.log_location.as_deref().unwrap_or_default();
        ensure!(log == format!("volumes/logs/{name}.log"), "{name}: {log}");
        let logging = process.log_configuration.as_ref();
        let rotation = &logging
            .with_context(|| format!("{name}: no rotation"))?
            .rotation;
        ensure!(rotation.max_size_mb * (1 + rotation.max_backups) <= 50);
        // Otherwise bash is what is stopped, and the program stays.
        let command = process.command.as_deref().unwrap_or_default();
        ensure!(command.contains("exec "), "{name}: {command}");
        ensure!(!process.programs().is_empty(), "{name}: {command}");
    }
    Ok(())
}

fn watched(compose: &Compose) -> anyhow::Result<()> {
    for (name, process) in supervised(compose) {
        let probe = process.readiness_probe.as_ref();
        let probe = probe.with_context(|| format!("{name} has no probe"))?;
        ensure!(
            probe.exec.is_some() != probe.http_get.is_some(),
            "{name}: {probe:?}"
        );
        ensure!(
            probe.period_seconds == 1 && probe.initial_delay_seconds == 0,
            "{name}: {probe:?}"
        );
        let availability = process.availability.as_ref();
        let restart = availability.map_or("", |availability| &availability.restart);
        ensure!(restart == "always", "{name}: {restart}");
        let shutdown = process.shutdown.as_ref();
        let shutdown = shutdown.with_context(|| format!("{name}: no shutdown"))?;
        ensure!(
            shutdown.signal == 15 && shutdown.timeout_seconds <= 10,
            "{name}: {shutdown:?}"
        );
    }
    let preflight = compose.processes.get(ONE_SHOT).context("no preflight")?;
    let availability = preflight.availability.as_ref();
    ensure!(availability.is_some_and(|it| it.restart == "exit_on_failure"));
    Ok(())
}

fn ready(compose: &Compose) -> anyhow::Result<()> {
    for (name, process) in supervised(compose) {
        ensure!(!process.depends_on.is_empty(), "{name} waits for nothing");
        for (other, dependency) in &process.depends_on {
            let expected = if other == ONE_SHOT {
                "process_completed_successfully"
            } else {
                "process_healthy"
            };
            ensure!(dependency.condition == expected, "{name}: {other}");
            ensure!(compose.processes.contains_key(other), "{name}: {other}");
        }
    }
    Ok(())
}

fn configured(compose: &Compose) -> anyhow::Result<()> {
    let mut found = 0;
    for (name, process) in &compose.processes {
        let command = process.command.as_deref().unwrap_or_default();
        for rest in command.split("volumes/configs/").skip(1) {
            let file = rest.split(['"', ' ']).next().unwrap_or_default();
            let path = Path::new(ROOT).join("configs").join(file);
            ensure!(path.is_file(), "{name}: no configs/{file}");
            found += 1;
        }
    }
    // The collector has none where it only stands for one.
    ensure!(found >= 4, "{found} configurations");
    Ok(())
}

fn drains(compose: &Compose) -> anyhow::Result<()> {
    const MARGIN: Duration = Duration::from_secs(2);
    ensure!(STOP <= Duration::from_secs(6), "a stop takes {STOP:?}");
    for (name, process) in supervised(compose) {
        let is_ours = Path::new(ROOT).join("services").join(name).is_dir();
        let shutdown = process.shutdown.as_ref().filter(|_| is_ours);
        let patience = shutdown.map(|shutdown| Duration::from_secs(shutdown.timeout_seconds));
        ensure!(
            patience.is_none_or(|it| it >= STOP + MARGIN),
            "{name}: {patience:?}"
        );
    }
    let module = fs::read_to_string(Path::new(ROOT).join("nix/module.nix"))?;
    let patiences = module.split("TimeoutStopSec = ").skip(1);
    let patiences: Vec<u64> = patiences
        .map(|rest| rest.split(';').next().unwrap_or_default().parse())
        .collect::<Result<_, _>>()?;
    ensure!(!patiences.is_empty(), "systemd would wait for 90 s");
    for patience in patiences {
        ensure!(Duration::from_secs(patience) >= STOP + MARGIN, "{patience}");
    }
    Ok(())
}

fn ports(_: &Compose) -> anyhow::Result<()> {
    let numbers: BTreeSet<u16> = PORTS.iter().map(|port| port.default).collect();
    ensure!(numbers.len() == PORTS.len(), "a port is there twice");
    let variables: BTreeMap<&str, u16> = PORTS
        .iter()
        .map(|port| (port.variable, port.default))
        .collect();
    ensure!(variables.len() == PORTS.len(), "a variable is there twice");

    let mut seen = BTreeSet::new();
    for file in FILES {
        let text = fs::read_to_string(Path::new(ROOT).join(file))?;
        for inner in text.split("${").skip(1) {
            let inner = inner.split('}').next().unwrap_or_default();
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            if name.ends_with("_PORT") {
                let expected = variables.get(name).map(ToString::to_string);
                ensure!(expected.as_deref() == Some(default), "{file}: {inner}");
                seen.insert(name.to_owned());
            }
        }
    }
    ensure!(seen.len() >= 15, "{seen:?}");
    for (file, text) in configurations()? {
        for port in listed(&text) {
            ensure!(numbers.contains(&port), "{file}: {port}");
        }
    }
    Ok(())
}

fn loopback(compose: &Compose) -> anyhow::Result<()> {
    let mut texts = configurations()?;
    for (name, process) in &compose.processes {
        let text = format!("{:?} {:?}", process.command, process.environment);
        texts.push((name.clone(), text));
    }
    for (file, text) in texts {
        for wrong in ["0.0.0.0", "localhost", "[::]", " :9", "\":"] {
            ensure!(!text.contains(wrong), "{file}: {wrong}");
        }
    }
    Ok(())
}

/// The ports that a configuration names.
fn listed(text: &str) -> Vec<u16> {
    ["127.0.0.1:", "port: "]
        .iter()
        .flat_map(|mark| text.split(mark).skip(1))
        .filter_map(|rest| {
            let digits = rest.split(|character: char| !character.is_ascii_digit());
            digits.into_iter().next()?.parse().ok()
        })
        .collect()
}

/// All configurations, without their comments.
fn configurations() -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut folders = vec![Path::new(ROOT).join("configs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
            let text = lines.collect::<Vec<_>>().join("\n");
            all.push((path.display().to_string(), text));
        }
    }
    Ok(all)
}
