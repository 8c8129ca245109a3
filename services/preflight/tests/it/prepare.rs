//! Runs without problems. They create folders, secrets and configurations.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
};

use preflight::{PORTS, rewrite};

use crate::harness::{Machine, Said, free_port};

#[test]
fn folders_secrets_and_configurations_are_created() {
    let machine = Machine::new();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.err, "");
    let data = machine.data();
    let mode = |name: &str| data[&machine.path("volumes").join(name)].0;
    for folder in [
        "logs",
        "prometheus",
        "alertmanager",
        "loki",
        "tempo",
        "otel-collector",
        "grafana",
        "redpanda",
    ] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    let volumes = machine.path("volumes").metadata().unwrap();
    assert_eq!(volumes.permissions().mode() & 0o777, 0o700);
    assert!(!machine.path("volumes/kafka").exists());
    assert_eq!(mode("secrets"), 0o700);
    assert_eq!(mode("secrets/jwt"), 0o600);
    assert_eq!(mode("secrets/grafana-admin-password"), 0o600);
    let secret = |name: &str| fs::read_to_string(machine.path("volumes/secrets").join(name));
    let (jwt, password) = (
        secret("jwt").unwrap(),
        secret("grafana-admin-password").unwrap(),
    );
    assert_eq!((jwt.len(), password.len()), (64, 24));
    assert!(!said.out.contains(&jwt) && !said.out.contains(&password));
    for port in ["FRONTEND_PORT", "GRAFANA_PORT", "PROMETHEUS_PORT"] {
        let url = format!("http://127.0.0.1:{}", machine.port(port));
        assert!(said.out.contains(&url), "{said:?}");
    }
    let path = machine.path("volumes").display().to_string();
    assert!(said.out.contains(&path), "{said:?}");
    for words in [
        format!(":{}/status", machine.port("FRONTEND_PORT")),
        format!(
            "send OTLP to    http://127.0.0.1:{} (gRPC)",
            machine.port("OTEL_COLLECTOR_OTLP_GRPC_PORT")
        ),
        format!("password in {path}/secrets/grafana-admin-password"),
        "To stop it: `just down`".to_owned(),
    ] {
        assert!(said.out.contains(&words), "{said:?}");
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let machine = Machine::new();
    let first = machine.run(&[]);
    let before = machine.data();
    let second = machine.run(&[]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(machine.data(), before);
    assert_eq!(first.out, second.out);
}

#[test]
fn concurrent_runs_agree() {
    let machine = Machine::new();
    let runs: Vec<_> = (0..4).map(|_| machine.start(&[])).collect();
    for said in runs.into_iter().map(Said::of) {
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let before = machine.data();
    assert_eq!(machine.run(&[]).code, Some(0));
    assert_eq!(machine.data(), before);
}

#[test]
fn no_configuration_names_a_default_port_or_the_default_folder() {
    let machine = Machine::new();
    assert_eq!(machine.run(&[]).code, Some(0));
    let ours: Vec<_> = machine.ports.values().collect();
    let mut configurations = 0;
    for (path, (_, _, bytes)) in machine.data() {
        if !path.starts_with(machine.path("volumes/configs")) || path.is_dir() {
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        rewrite(&text, |port| {
            assert!(ours.contains(&&port), "{port} in {}", path.display());
            port
        });
        assert!(!text.contains("OTELIX_DATA:-"), "{}", path.display());
        configurations += 1;
    }
    assert!(configurations > 5);
    let redpanda = fs::read_to_string(machine.path("volumes/configs/redpanda/redpanda.yaml"));
    let folder = machine.path("volumes/redpanda");
    let expected = format!("data_directory: {}\n", folder.display());
    assert!(redpanda.unwrap().contains(&expected));
}

#[test]
fn a_port_that_is_changed_is_used_and_the_secrets_stay() {
    let mut machine = Machine::new();
    assert_eq!(machine.run(&[]).code, Some(0));
    let secret = machine.path("volumes/secrets/jwt");
    let before = fs::read(&secret).unwrap();
    let port = free_port();
    machine.ports.insert("LOKI_PORT", port);
    assert_eq!(machine.run(&[]).code, Some(0));
    let loki = fs::read_to_string(machine.path("volumes/configs/loki/loki.yaml")).unwrap();
    assert!(loki.contains(&format!("http_listen_port: {port}")));
    let collector = machine.path("volumes/configs/otel-collector/config.yaml");
    let collector = fs::read_to_string(collector).unwrap();
    assert!(collector.contains(&format!("127.0.0.1:{port}/otlp")));
    assert_eq!(fs::read(&secret).unwrap(), before);
}

#[test]
fn the_secret_of_an_earlier_otelix_is_moved() {
    let machine = Machine::new();
    fs::create_dir(machine.path("volumes")).unwrap();
    let former = machine.path("volumes/jwt-secret");
    let secret = "x".repeat(64);
    fs::write(&former, &secret).unwrap();
    fs::set_permissions(&former, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(machine.run(&[]).code, Some(0));
    let moved = fs::read_to_string(machine.path("volumes/secrets/jwt"));
    assert_eq!(moved.unwrap(), secret);
    assert!(!former.exists());
}

#[test]
fn a_service_link_leaves_the_default_port() {
    let machine = Machine::new();
    let arguments = ["--only", "redpanda-console"];
    let mut command = machine.command(&arguments);
    command.env("GRAFANA_PORT", "tcp://10.0.0.5:8080");
    let said = Said::of(command.spawn().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let prometheus = machine.path("volumes/configs/prometheus/prometheus.yaml");
    let prometheus = fs::read_to_string(prometheus).unwrap();
    assert!(prometheus.contains("127.0.0.1:3000"), "{prometheus}");
}

#[test]
fn with_the_default_ports_only_the_folder_is_replaced() {
    let machine = Machine::new();
    // A stack may run on this machine. With this selection, preflight checks two ports alone.
    let mut arguments = vec!["--only".to_owned(), "redpanda-console".to_owned()];
    for port in PORTS {
        let flag = port.variable.to_lowercase().replace('_', "-");
        let number = match port.process {
            "redpanda-console" | "supervisor" => machine.port(port.variable),
            _ => port.default,
        };
        arguments.push(format!("--{flag}={number}"));
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let said = machine.run(&arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    let of = |folder: &str| {
        fs::read_to_string(machine.path(folder).join("prometheus/prometheus.yaml")).unwrap()
    };
    assert_eq!(of("volumes/configs"), of("configs"));
}

#[test]
fn runbooks_are_pages_and_their_absence_is_a_warning() {
    let machine = Machine::new();
    assert_eq!(machine.run(&[]).code, Some(0));
    let page = "prometheus/user/runbooks/target-down.html";
    let page = machine.path("volumes/configs").join(page);
    let text = fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("TargetDown") && text.contains("<h1>"),
        "{text}"
    );

    // The Nix build calls this command.
    let folder = machine.path("pages");
    let said = machine.run(&["runbooks", &folder.to_string_lossy()]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(folder.join("runbooks/target-down.html").is_file());

    fs::remove_dir_all(machine.path("docs")).unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.names(&["prometheus", "docs/runbooks"]), "{said:?}");
    assert!(!page.exists());
}

#[test]
fn alert_rules_of_vitals_are_left_out_if_vitals_does_not_run() {
    let machine = Machine::new();
    let rules = machine.path("volumes/configs/prometheus/rules");
    assert_eq!(machine.run(&[]).code, Some(0));
    assert!(rules.join("stack.yaml").is_file());
    assert_eq!(machine.run(&["--only", "prometheus"]).code, Some(0));
    assert!(!rules.join("stack.yaml").exists());
    assert!(rules.join("backends.yaml").is_file());
}

#[test]
fn configurations_mention_profiles_only_if_pyroscope_runs() {
    let machine = Machine::new();
    let made = |name: &str| {
        let text = fs::read_to_string(machine.path("volumes/configs").join(name)).ok()?;
        let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
        Some(lines.fold(String::new(), |text, line| text + line + "\n"))
    };
    let pipeline = "otel-collector/profiles.yaml";
    let sources = "grafana/provisioning/datasources/datasources.yaml";
    let url = format!("127.0.0.1:{}", machine.port("PYROSCOPE_PORT"));
    for name in [sources, "prometheus/prometheus.yaml"] {
        let said = machine.run(&["--profiles"]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        assert!(said.out.contains(&url), "{said:?}");
        assert!(made(name).unwrap().contains(&url), "{name}");
        assert!(made(pipeline).unwrap().contains(&url));
        assert!(machine.path("volumes/pyroscope").is_dir());

        let said = machine.run(&[]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!said.out.contains("pyroscope"), "{said:?}");
        let text = made(name).unwrap();
        assert!(!text.to_lowercase().contains("profile"), "{text}");
        assert!(!text.to_lowercase().contains("pyroscope"), "{text}");
        assert_eq!(made(pipeline), None);
    }
}

#[test]
fn the_collector_listens_on_the_second_loopback_address_if_there_is_one() {
    let machine = Machine::new();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let collector = || {
        let file = machine.path("volumes/configs/otel-collector/config.yaml");
        fs::read_to_string(file).unwrap()
    };
    let port = machine.port("OTEL_COLLECTOR_OTLP_HTTP_PORT");
    let endpoint = format!("endpoint: \"[::1]:{port}\"");
    let Ok(_listener) = TcpListener::bind(("::1", port)) else {
        assert!(!collector().contains("\n  otlp/ipv6:"));
        return; // a machine without IPv6
    };
    assert!(collector().contains("\n  otlp/ipv6:\n"));
    assert!(collector().contains("\n        - otlp/ipv6\n"));
    assert!(collector().contains(&format!("\n        {endpoint}\n")));
    assert!(!collector().contains("\n  otlp/external:"));

    // Another process listens there now.
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.names(&["[::1]", &port.to_string()]), "{said:?}");
    assert!(!collector().contains("\n  otlp/ipv6:"));
}

#[test]
fn an_external_address_is_in_all_configurations_and_in_the_report() {
    let machine = Machine::new();
    if TcpListener::bind("127.0.0.2:0").is_err() {
        return; // a system with only one loopback address
    }
    let said = machine.run(&["--external-address", "127.0.0.2"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.names(&["broker", "no passwords"]), "{said:?}");
    assert!(said.names(&["OTLP_TOKEN is not set"]), "{said:?}");
    let made = |name: &str| {
        let text = fs::read_to_string(machine.path("volumes/configs").join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
        lines.fold(String::new(), |text, line| text + line + "\n")
    };
    let at = |port: &str| format!("127.0.0.2:{}", machine.port(port));
    let collector = made("otel-collector/config.yaml");
    for port in [
        "OTEL_COLLECTOR_OTLP_GRPC_PORT",
        "OTEL_COLLECTOR_OTLP_HTTP_PORT",
    ] {
        assert!(collector.contains(&at(port)), "{collector}");
        assert!(said.out.contains(&at(port)), "{said:?}");
    }
    assert!(!collector.contains("bearertokenauth"), "{collector}");
    let broker = at("BROKER_EXTERNAL_PORT");
    assert!(said.out.contains(&broker), "{said:?}");
    let kafka = made("kafka/server.properties");
    let external = format!("EXTERNAL://{broker}");
    assert_eq!(kafka.matches(&external).count(), 2, "{kafka}");
    let redpanda = made("redpanda/redpanda.yaml");
    let external = format!(
        "    - name: external\n      address: \"127.0.0.2\"\n      port: {}\n",
        machine.port("BROKER_EXTERNAL_PORT")
    );
    assert_eq!(redpanda.matches(&external).count(), 2, "{redpanda}");

    let mut command = machine.command(&["--external-address", "127.0.0.2"]);
    command.env("OTLP_TOKEN", "0123456789abcdef");
    let said = Said::of(command.spawn().unwrap());
    assert!(!said.names(&["OTLP_TOKEN"]), "{said:?}");
    let collector = made("otel-collector/config.yaml");
    assert_eq!(collector.matches("bearertokenauth/otlp").count(), 3);
    assert!(!collector.contains("0123456789abcdef"), "{collector}");

    // Without the variable, everything is as before.
    assert_eq!(machine.run(&[]).code, Some(0));
    for name in ["otel-collector/config.yaml", "kafka/server.properties"] {
        assert!(!made(name).contains("127.0.0.2"), "{name}");
    }
}

#[test]
fn files_of_the_overlay_are_added_with_the_ports_of_this_start_and_removed_again() {
    let machine = Machine::new();
    let scrape =
        "scrape_configs: [{job_name: shop, static_configs: [{targets: ['127.0.0.1:3100']}]}]";
    machine.overlay("prometheus/scrape/shop.yaml", scrape);
    machine.overlay("prometheus/rules/shop.yaml", "groups: []");
    machine.overlay("otel-collector/more.yaml", "exporters: {debug: }");
    machine.overlay(
        "dashboards/shop.json",
        r#"{"panels": [], "url": "127.0.0.1:3100"}"#,
    );
    machine.overlay("README.md", "notes");
    let said = machine.run(&["--overlay", "mine"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let made = |name: &str| fs::read_to_string(machine.path("volumes/configs").join(name));
    let loki = format!("127.0.0.1:{}", machine.port("LOKI_PORT"));
    for name in ["prometheus/scrape/shop.yaml", "dashboards/shop.json"] {
        let text = made(&format!("overlay/{name}")).unwrap();
        assert!(text.contains(&loki), "{text}");
    }
    for name in ["prometheus/rules/shop.yaml", "otel-collector/more.yaml"] {
        assert!(made(&format!("overlay/{name}")).is_ok(), "{name}");
    }
    let provider = made("grafana/provisioning/dashboards/overlay.yaml").unwrap();
    let folder = machine.path("volumes/configs/overlay/dashboards");
    let path = format!("path: {}\n", folder.display());
    assert!(provider.contains(&path), "{provider}");

    assert_eq!(machine.run(&[]).code, Some(0));
    assert!(made("grafana/provisioning/dashboards/overlay.yaml").is_err());
    assert!(!machine.path("volumes/configs/overlay").exists());
}
