//! Tests of the content of process-compose.yaml, which start nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use chassis::stop::STOP;
use e2e::{
    compose::{Compose, Described, ROOT},
    stack::{FILES, PROFILES},
};
use libtest_mimic::Trial;
use preflight::PORTS;

use crate::{ONE_SHOT, trial};

/// The processes that process-compose.yaml does not have. Each is in one variant.
const ADDED: [&str; 2] = ["lens", "pyroscope"];

/// The files that are merged into process-compose.yaml.
const VARIANTS: [&str; 5] = [
    "process-compose.kafka.yaml",
    "process-compose.lens.yaml",
    "process-compose.lgtm.yaml",
    PROFILES,
    "process-compose.services.yaml",
];

/// Telemetry settings that a shell may have for another program.
const FOREIGN: [(&str, &str); 11] = [
    ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:4318"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer x"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://elsewhere:4318/v1/traces",
    ),
    ("OTEL_RESOURCE_ATTRIBUTES", "team=shop"),
    ("OTEL_SDK_DISABLED", "true"),
    ("OTEL_SERVICE_NAME", "shop"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "7"),
    ("OTEL_TRACES_EXPORTER", "jaeger"),
    ("OTEL_TRACES_SAMPLER", "always_on"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let check = |name: &str, test: fn(&Compose) -> anyhow::Result<()>| {
        trial(name, Vec::new(), async move || {
            let merged = VARIANTS.map(|variant| vec![FILES[0], variant]);
            for files in [vec![FILES[0]]].iter().chain(&merged) {
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
        check(
            "files::telemetry_settings_of_the_shell_change_no_name_and_no_endpoint",
            foreign_settings,
        ),
        trial(
            "files::no_variable_is_lost_when_files_are_merged",
            Vec::new(),
            async || merged(),
        ),
        trial(
            "files::grafana_finds_its_own_folder_behind_links",
            Vec::new(),
            async || homepath(),
        ),
        trial(
            "files::variables_of_the_caller_replace_the_settings_of_grafana",
            Vec::new(),
            async || grafana_settings(),
        ),
        trial(
            "files::further_flags_and_files_come_after_ours",
            Vec::new(),
            async || further(),
        ),
    ]
}

fn supervised(compose: &Compose) -> impl Iterator<Item = (&String, &Described)> {
    let all = compose.processes.iter();
    all.filter(|(name, _)| *name != ONE_SHOT)
}

fn described(compose: &Compose) -> anyhow::Result<()> {
    let names = compose.processes.keys().map(String::as_str);
    let names: Vec<&str> = names.filter(|name| !ADDED.contains(name)).collect();
    let expected = [
        "admission",
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
        // Without `exec`, a stop would end bash and leave the program.
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
            // preflight renders these pages.
            let is_there = if file == "prometheus/user" {
                Path::new(ROOT).join("docs/runbooks").is_dir()
            } else {
                Path::new(ROOT).join("configs").join(file).is_file()
            };
            ensure!(is_there, "{name}: no configs/{file}");
            found += 1;
        }
    }
    // In one variant, a placeholder without a configuration replaces the collector.
    ensure!(found >= 4, "{found} configurations");
    Ok(())
}

fn drains(compose: &Compose) -> anyhow::Result<()> {
    const MARGIN: Duration = Duration::from_secs(2);
    ensure!(STOP <= Duration::from_secs(6), "a stop takes {STOP:?}");
    for (name, process) in supervised(compose) {
        let ours = Some(process).filter(|process| process.is_of_workspace());
        let shutdown = ours.and_then(|process| process.shutdown.as_ref());
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
    ensure!(numbers.len() == PORTS.len(), "two ports have one number");
    let variables: BTreeMap<&str, u16> = PORTS
        .iter()
        .map(|port| (port.variable, port.default))
        .collect();
    ensure!(
        variables.len() == PORTS.len(),
        "two ports have one variable"
    );

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
        // The pages that may send are no addresses to listen on.
        let lines = text
            .lines()
            .filter(|line| !line.contains("allowed_origins:"));
        let text: String = lines.collect();
        for wrong in ["0.0.0.0", "localhost", "[::]", " :9", "\":"] {
            ensure!(!text.contains(wrong), "{file}: {wrong}");
        }
    }
    Ok(())
}

fn foreign_settings(compose: &Compose) -> anyhow::Result<()> {
    for (name, process) in supervised(compose) {
        // A placeholder for a process that runs elsewhere.
        if process.programs() == ["tail"] {
            continue;
        }
        let said = started(process, &FOREIGN, Path::new("programs"))?;
        let settings: BTreeMap<&str, &str> = said
            .lines()
            .filter(|line| line.starts_with("OTEL_"))
            .filter_map(|line| line.split_once('='))
            .collect();
        let mut expected = BTreeMap::new();
        // Lens sends nothing.
        if process.is_of_workspace() && name != "lens" {
            expected = FOREIGN.into_iter().collect();
            expected.retain(|variable, _| !variable.contains("EXPORTER"));
            expected.remove("OTEL_SDK_DISABLED");
            expected.extend([
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "deployment.environment.name=development,team=shop",
                ),
                ("OTEL_SERVICE_NAME", name),
            ]);
        }
        ensure!(settings == expected, "{name}: {settings:?}");
    }
    Ok(())
}

/// If two files have variables for a process, process-compose drops variables with a second `=`.
fn merged() -> anyhow::Result<()> {
    let base = Compose::read(&FILES[..1], &BTreeMap::new())?;
    for variant in VARIANTS {
        for (name, process) in Compose::read(&[variant], &BTreeMap::new())?.processes {
            let Some(before) = base.processes.get(&name).map(|it| &it.environment) else {
                ensure!(ADDED.contains(&name.as_str()), "{variant}: {name} is new");
                continue;
            };
            if before.is_empty() || process.environment.is_empty() {
                continue;
            }
            for variable in before.iter().chain(&process.environment) {
                let is_kept = variable.matches('=').count() == 1;
                ensure!(is_kept, "{variant}: {name} loses {variable}");
            }
        }
    }
    Ok(())
}

fn homepath() -> anyhow::Result<()> {
    let compose = Compose::read(&FILES[..1], &BTreeMap::new())?;
    let grafana = compose.processes.get("grafana").context("no grafana")?;
    for programs in ["programs", "links", "package/bin"] {
        let said = started(grafana, &[], Path::new(programs))?;
        let expected = "/package/share/grafana";
        let homepath = said.lines().find(|line| line.starts_with("--homepath="));
        let is_found = homepath.is_some_and(|line| line.ends_with(expected));
        ensure!(is_found, "{programs}: {said}");
    }
    Ok(())
}

fn grafana_settings() -> anyhow::Result<()> {
    let set = [
        ("GF_PATHS_LOGS", "/logs of mine"),
        ("GF_SECURITY_ADMIN_PASSWORD", "$mine"),
        ("GF_USERS_HOME_PAGE", "/d/mine"),
    ];
    let variables: BTreeMap<_, _> = set
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for files in [&FILES[..1], &[FILES[0], "process-compose.lgtm.yaml"]] {
        for (variables, caller) in [(variables.clone(), &set[..]), (BTreeMap::new(), &[])] {
            let compose = Compose::read(files, &variables)?;
            let grafana = compose.processes.get("grafana").context("no grafana")?;
            let said = started(grafana, caller, Path::new("programs"))?;
            for (name, value) in set {
                let line = format!("\n{name}={value}\n");
                ensure!(said.contains(&line) != caller.is_empty(), "{line}: {said}");
            }
            let password = "/volumes/secrets/grafana-admin-password}";
            ensure!(said.contains(password) == caller.is_empty(), "{said}");
            ensure!(said.contains("\nGF_SERVER_HTTP_ADDR=127.0.0.1\n"), "{said}");
        }
    }
    Ok(())
}

fn further() -> anyhow::Result<()> {
    let compose = Compose::read(&FILES[..1], &BTreeMap::new())?;
    for (name, variable) in [
        ("prometheus", "PROMETHEUS_ARGS"),
        ("alertmanager", "ALERTMANAGER_ARGS"),
        ("loki", "LOKI_ARGS"),
        ("tempo", "TEMPO_ARGS"),
    ] {
        let process = compose.processes.get(name).context("no process")?;
        let flags = [(variable, "--one=1 --two")];
        let said = started(process, &flags, Path::new("programs"))?;
        let ours = said.find("config.file=").context("no configuration")?;
        let theirs = said.find("--one=1\n--two\n").context("no flags")?;
        ensure!(ours < theirs, "{name}: {said}");
    }
    let with_profiles = [FILES[0], PROFILES];
    let pyroscope = Compose::read(&with_profiles, &BTreeMap::new())?;
    let pyroscope = pyroscope.processes.get("pyroscope").context("no process")?;
    let flags = [("PYROSCOPE_ARGS", "--one=1 --two")];
    let said = started(pyroscope, &flags, Path::new("programs"))?;
    ensure!(
        said.contains("pyroscope.yaml\n-architecture.storage=v2\n--one=1\n--two\n"),
        "{said}"
    );
    let collector = compose.processes.get("otel-collector");
    let said = started(
        collector.context("no collector")?,
        &[("OTELIX_COLLECTOR_CONFIG", "mine.yaml")],
        Path::new("programs"),
    )?;
    let configs: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("--config="))
        .collect();
    let expected = [
        "volumes/configs/otel-collector/config.yaml",
        "volumes/configs/overlay/otel-collector/a b.yaml",
        "volumes/configs/overlay/otel-collector/c.yaml",
        "mine.yaml",
    ];
    ensure!(configs == expected, "{configs:?}");
    Ok(())
}

/// The arguments and variables that the program of a process gets, one in each line. The program is in the folder
/// `package/bin`. `links` has an absolute link to it, and `programs` a relative link to that link.
fn started(
    process: &Described,
    variables: &[(&str, &str)],
    programs: &Path,
) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    for name in [
        "dashboards/generic",
        "links",
        "package/bin",
        "package/share/grafana",
        "programs",
        "volumes/configs/overlay/otel-collector",
    ] {
        fs::create_dir_all(folder.path().join(name))?;
    }
    for name in ["a b.yaml", "c.yaml"] {
        let overlay = folder.path().join("volumes/configs/overlay/otel-collector");
        fs::write(overlay.join(name), "")?;
    }
    for name in process
        .programs()
        .iter()
        .map(String::as_str)
        .chain(["kafka-storage.sh"])
    {
        let program = folder.path().join("package/bin").join(name);
        fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexec env\n")?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        symlink(&program, folder.path().join("links").join(name))?;
        symlink(
            Path::new("../links").join(name),
            folder.path().join("programs").join(name),
        )?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::iter::once(folder.path().join(programs));
    let path = std::env::join_paths(programs.chain(std::env::split_paths(&path)))?;
    let own = process.environment.iter();
    let output = Command::new("bash")
        .args(["-c", process.command.as_deref().context("no command")?])
        .env_clear()
        .envs(variables.iter().copied())
        .envs(own.filter_map(|variable| variable.split_once('=')))
        .env("PATH", path)
        .current_dir(folder.path())
        .output()?;
    let failed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {failed}", output.status);
    ensure!(failed.is_empty(), "{failed}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The ports in a configuration.
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
