//! Runs with problems. They report all problems at once, and create nothing.

use std::{
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
};

use crate::harness::{Machine, Said, free_port};

#[test]
fn a_missing_program_is_reported_with_its_process_and_its_source() {
    let machine = Machine::new();
    for program in ["otelcol-contrib", "redpanda", "auth", "vitals"] {
        fs::remove_file(machine.path("bin").join(program)).unwrap();
    }
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let collector = ["otel-collector:", "`otelcol-contrib`", "`otelcol`"];
    assert!(said.names(&collector), "{said:?}");
    assert!(said.names(&["broker:", "`redpanda`"]), "{said:?}");
    assert!(said.names(&["auth:", "`auth`"]), "{said:?}");
    assert!(said.names(&["cargo build --release"]), "{said:?}");
    assert!(said.names(&["https://docs.redpanda.com"]), "{said:?}");
    assert!(!said.err.contains("loki"), "{said:?}");
    assert!(said.err.contains("4 problems"), "{said:?}");
}

#[test]
fn either_name_of_the_collector_is_accepted() {
    let machine = Machine::new();
    let bin = machine.path("bin");
    fs::rename(bin.join("otelcol-contrib"), bin.join("otelcol")).unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn pyroscope_is_needed_only_for_profiles() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin/pyroscope")).unwrap();
    let port = machine.port("PYROSCOPE_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(machine.run(&[]).code, Some(0));
    let mut command = machine.command(&["--only", "grafana"]);
    command.env("OTELIX_PROFILES", "true");
    let said = Said::of(command.spawn().unwrap());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["pyroscope:", "`pyroscope`"]), "{said:?}");
    let taken = ["pyroscope:", &port.to_string()];
    assert!(said.names(&taken), "{said:?}");
    assert!(said.names(&["PYROSCOPE_PORT"]), "{said:?}");
    assert!(said.err.contains("2 problems"), "{said:?}");
}

#[test]
fn each_broker_needs_its_own_programs() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin/redpanda")).unwrap();
    let said = machine.run(&["--broker", "kafka"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::remove_file(machine.path("bin/kafka-storage.sh")).unwrap();
    let said = machine.run(&["--broker", "kafka"]);
    assert!(said.names(&["broker:", "`kafka-storage.sh`"]), "{said:?}");
    assert!(!said.err.contains("kafka-server-start.sh"), "{said:?}");
}

#[test]
fn a_port_in_use_is_reported_with_its_process_and_its_variable() {
    let machine = Machine::new();
    let port = machine.port("OTEL_COLLECTOR_ZIPKIN_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.names(&["otel-collector:", &port.to_string()]),
        "{said:?}"
    );
    assert!(said.names(&["OTEL_COLLECTOR_ZIPKIN_PORT"]), "{said:?}");
    if cfg!(target_os = "linux") {
        let id = std::process::id();
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap();
        let holder = format!("{} (pid {id})", name.trim());
        assert!(said.names(&[&port.to_string(), &holder]), "{said:?}");
    }
}

#[test]
fn if_the_supervisor_starts_preflight_its_port_may_be_in_use() {
    let machine = Machine::new();
    let port = machine.port("SUPERVISOR_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = machine.run(&["--supervised", "preflight"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn if_the_supervisor_is_not_running_its_port_must_be_free() {
    let machine = Machine::new();
    let port = machine.port("SUPERVISOR_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["supervisor:", &port.to_string()]), "{said:?}");
}

#[test]
fn a_supervisor_on_an_unexpected_port_is_reported_with_both_variables() {
    let mut machine = Machine::new();
    let port = machine.port("SUPERVISOR_PORT");
    machine.ports.insert("PC_PORT_NUM", port);
    assert_eq!(machine.run(&[]).code, Some(0));
    let other = free_port();
    machine.ports.insert("PC_PORT_NUM", other);
    for arguments in [&[][..], &["--supervised", "preflight"]] {
        let said = machine.run(arguments);
        assert_eq!(said.code, Some(1), "{said:?}");
        let (actual, expected) = (other.to_string(), port.to_string());
        let both = ["PC_PORT_NUM", &*actual, "SUPERVISOR_PORT", &*expected];
        assert!(said.names(&both), "{said:?}");
    }
}

#[test]
fn a_port_of_the_other_broker_may_be_in_use() {
    let machine = Machine::new();
    let port = machine.port("BROKER_CONTROLLER_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(machine.run(&[]).code, Some(0));
    let said = machine.run(&["--broker", "kafka"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["BROKER_CONTROLLER_PORT"]), "{said:?}");
}

#[test]
fn a_port_that_is_set_twice_is_reported_with_both_variables() {
    let mut machine = Machine::new();
    let port = machine.port("LOKI_PORT");
    machine.ports.insert("GRAFANA_PORT", port);
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let twice = ["LOKI_PORT", "GRAFANA_PORT", &port.to_string()];
    assert!(said.names(&twice), "{said:?}");
}

/// The test puts a file in place of the folder, because root can write to any folder.
#[test]
fn a_data_folder_that_cannot_be_created_or_written_to_is_reported() {
    let machine = Machine::new();
    fs::write(machine.path("file"), "").unwrap();
    for data in ["file", "file/volumes"] {
        let said = machine.run(&["--data", data]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let path = machine.path(data).display().to_string();
        let file = machine.path("file").display().to_string();
        let what = format!("{path} cannot be created: {file} is a file, not a folder.");
        assert!(said.names(&[&what]), "{said:?}");
        assert!(said.names(&["OTELIX_DATA"]), "{said:?}");
        assert!(said.err.contains("of 1 problem:"), "{said:?}");
    }
    fs::create_dir(machine.path("volumes")).unwrap();
    fs::write(machine.path("volumes/loki"), "").unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let what = [
        "cannot be written to",
        "volumes/loki is a file, not a folder",
    ];
    assert!(said.names(&what), "{said:?}");
}

#[test]
fn a_database_in_use_is_reported_with_its_process() {
    let machine = Machine::new();
    fs::create_dir(machine.path("volumes")).unwrap();
    let database = machine.path("volumes/user.db");
    fs::write(&database, "").unwrap();
    let lock = File::create(machine.path("volumes/user.db.lock")).unwrap();
    fs::write(machine.path("volumes/user.db.lock"), "4711\n").unwrap();
    // After a kill, the file remains without a lock.
    assert_eq!(machine.run(&[]).code, Some(0));

    lock.lock().unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let what = format!(
        "user: the database {} is in use by another process (pid 4711).",
        database.display()
    );
    assert!(said.names(&[&what]), "{said:?}");
    assert!(said.names(&["OTELIX_DATA"]), "{said:?}");
    assert!(said.err.contains("of 1 problem:"), "{said:?}");
    assert_eq!(machine.run(&["--only", "auth,loki"]).code, Some(0));
}

#[test]
fn a_missing_configuration_is_reported_with_its_process() {
    let machine = Machine::new();
    fs::remove_file(machine.path("configs/loki/loki.yaml")).unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["loki:", "configs/loki/loki.yaml"]), "{said:?}");
    let said = machine.run(&["--configs", "elsewhere"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["elsewhere"]), "{said:?}");
}

#[test]
fn secrets_that_other_users_can_read_are_reported_and_not_changed() {
    let machine = Machine::new();
    assert_eq!(machine.run(&[]).code, Some(0));
    let secret = machine.path("volumes/secrets/jwt");
    let folder = machine.path("volumes/secrets");
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let before = machine.data();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["secrets/jwt", "644"]), "{said:?}");
    assert!(said.names(&["volumes/secrets", "755"]), "{said:?}");
    assert!(said.names(&["chmod 600"]) && said.names(&["chmod 700"]));
    assert_eq!(machine.data(), before);
}

#[test]
fn files_that_preflight_did_not_create_are_not_replaced() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("volumes/configs")).unwrap();
    fs::write(machine.path("volumes/configs/mine"), "").unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["volumes/configs", "did not create"]));

    let said = machine.run(&["--data", "."]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["would be mixed"]), "{said:?}");
}

#[test]
fn all_problems_are_reported_at_once_and_nothing_is_created() {
    let mut machine = Machine::new();
    fs::remove_file(machine.path("bin/grafana")).unwrap();
    fs::remove_file(machine.path("configs/tempo/tempo.yaml")).unwrap();
    let port = machine.port("USER_PORT");
    machine.ports.insert("AUTH_PORT", port);
    let prometheus = machine.port("PROMETHEUS_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", prometheus)).unwrap();
    let said = machine.run(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("4 problems"), "{said:?}");
    assert!(said.names(&["grafana:", "`grafana`"]), "{said:?}");
    assert!(said.names(&["tempo:", "tempo.yaml"]), "{said:?}");
    assert!(said.names(&["USER_PORT", "AUTH_PORT"]), "{said:?}");
    assert!(said.names(&["prometheus:", "in use"]), "{said:?}");
    assert_eq!(said.out, "");
    assert!(machine.data().is_empty());
}

#[test]
fn processes_that_are_not_selected_are_not_checked() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin/grafana")).unwrap();
    fs::remove_file(machine.path("configs/tempo/tempo.yaml")).unwrap();
    let port = machine.port("PROMETHEUS_PORT");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = machine.run(&["--only", "user,loki"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(machine.path("volumes/loki").is_dir());
    assert!(!machine.path("volumes/tempo").exists());
    assert!(!machine.path("volumes/secrets/jwt").exists());
    assert!(!said.out.contains("http://"), "{said:?}");
}

/// process-compose does not know service links, and would insert it into the command of Grafana.
#[test]
fn under_the_supervisor_a_service_link_is_a_problem() {
    let machine = Machine::new();
    let mut command = machine.command(&["--supervised", "preflight", "--only", "redpanda-console"]);
    command.env("GRAFANA_PORT", "tcp://10.0.0.5:8080");
    let said = Said::of(command.spawn().unwrap());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["GRAFANA_PORT", "service link"]), "{said:?}");
    assert!(said.err.contains("of 1 problem:"), "{said:?}");
}

#[test]
fn an_invalid_setting_is_reported() {
    let machine = Machine::new();
    let said = machine.run(&["--loki-port", "70000"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.names(&["70000", "LOKI_PORT"]), "{said:?}");
}

#[test]
fn an_external_address_must_be_one_of_this_machine() {
    let machine = Machine::new();
    for (address, what) in [
        ("host.docker.internal", "no IP address"),
        ("0.0.0.0", "all addresses"),
        ("::", "all addresses"),
        ("127.0.0.1", "no other machine"),
        ("[::1]", "no other machine"),
        // Reserved for documentation.
        ("203.0.113.7", "no address of this machine"),
    ] {
        let said = machine.run(&["--external-address", address]);
        assert_eq!(said.code, Some(1), "{address}: {said:?}");
        let address = address.trim_matches(['[', ']']);
        let words = ["OTELIX_EXTERNAL_ADDRESS", address, what];
        assert!(said.names(&words), "{said:?}");
        assert!(said.names(&["172.17.0.1"]), "{said:?}");
        assert!(!said.err.contains("Warnings"), "{said:?}");
    }
}

#[test]
fn a_port_in_use_at_the_external_address_is_reported() {
    let machine = Machine::new();
    let mut listeners = Vec::new();
    for port in ["OTEL_COLLECTOR_OTLP_HTTP_PORT", "BROKER_EXTERNAL_PORT"] {
        let Ok(listener) = TcpListener::bind(("127.0.0.2", machine.port(port))) else {
            return; // a system with only one loopback address
        };
        listeners.push(listener);
    }
    assert_eq!(machine.run(&[]).code, Some(0));
    let said = machine.run(&["--external-address", "127.0.0.2"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for port in ["OTEL_COLLECTOR_OTLP_HTTP_PORT", "BROKER_EXTERNAL_PORT"] {
        let at = format!("127.0.0.2:{} is in use", machine.port(port));
        assert!(said.names(&[&at]) && said.names(&[port]), "{said:?}");
    }
    let said = machine.run(&["--external-address", "127.0.0.2", "--only", "loki"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_secret_for_senders_that_cannot_be_used_is_reported_and_not_shown() {
    let machine = Machine::new();
    let with = |name: &str, value: &str| {
        let mut command = machine.command(&[]);
        command.env(name, value).env("OTELIX_EXTERNAL_ADDRESS", "");
        Said::of(command.spawn().unwrap())
    };
    let said = with("OTLP_TOKEN", "too-short");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["OTLP_TOKEN", "16 to 256"]), "{said:?}");
    assert!(!said.err.contains("too-short"), "{said:?}");
    let said = with("OTLP_TOKEN_FILE", "missing");
    assert!(said.names(&["OTLP_TOKEN_FILE", "missing"]), "{said:?}");
    fs::write(machine.path("empty"), "\n").unwrap();
    let said = with("OTLP_TOKEN_FILE", "empty");
    assert!(said.names(&["OTLP_TOKEN_FILE", "16 to 256"]), "{said:?}");
    assert_eq!(with("OTLP_TOKEN", "0123456789abcdef").code, Some(0));
    assert_eq!(with("OTLP_TOKEN", "").code, Some(0));
}

#[test]
fn files_of_the_overlay_that_no_program_could_use_are_reported() {
    let machine = Machine::new();
    let said = machine.run(&["--overlay", "mine"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.names(&["OTELIX_OVERLAY", "mine"]), "{said:?}");

    machine.overlay("otel-collector/mine.yaml", "exporters: [");
    // Valid without the line of the mark.
    let wrong = "receivers:\n  otlp: {}\n  #external otlp/external: [\n";
    machine.overlay("otel-collector/marked.yaml", wrong);
    machine.overlay("prometheus/scrape/list.yaml", "- job_name: shop");
    let again = "scrape_configs: [{job_name: loki}]";
    machine.overlay("prometheus/scrape/loki.yaml", again);
    machine.overlay("dashboards/mine.json", "{");
    machine.overlay("dashboards/mine.yaml", "");
    let said = machine.run(&["--overlay", "mine"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("4 problems"), "{said:?}");
    for words in [
        ["otel-collector/mine.yaml", "cannot be parsed"],
        ["prometheus/scrape/list.yaml", "scrape_configs"],
        ["prometheus/scrape/loki.yaml", "`loki`"],
        ["dashboards/mine.json", "cannot be parsed"],
        ["dashboards/mine.yaml", "not used"],
    ] {
        assert!(said.names(&words), "{words:?}: {said:?}");
    }
    if TcpListener::bind("127.0.0.2:0").is_ok() {
        let said = machine.run(&["--overlay", "mine", "--external-address", "127.0.0.2"]);
        assert!(said.err.contains("5 problems"), "{said:?}");
        assert!(said.names(&["marked.yaml", "cannot be parsed"]), "{said:?}");
    }
}
