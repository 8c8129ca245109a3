//! The program: settings, subcommands, exit codes.

use testing::Process;

use crate::fake::Fake;

#[tokio::test]
async fn help_explains_the_settings_and_both_subcommands() {
    let supervisor = Fake::start().await;
    let help = Process::run(supervisor.vitals().arg("--help")).await;
    assert_eq!(help.code, Some(0));
    for part in ["health", "startup", "PORT", "SUPERVISOR_PORT", "OTEL_"] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
    let help = Process::run(supervisor.vitals().args(["startup", "--help"])).await;
    assert_eq!(help.code, Some(0));
    for part in ["vitals startup", "--within", "SUPERVISOR_PORT"] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
}

#[tokio::test]
async fn an_invalid_setting_is_reported() {
    let supervisor = Fake::start().await;
    for value in ["0", "65536", "here"] {
        let mut vitals = supervisor.vitals();
        let ended = Process::run(vitals.env("SUPERVISOR_PORT", value)).await;
        assert_eq!(ended.code, Some(2), "{value}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("SUPERVISOR_PORT"), "{}", ended.stderr);
    }
    let ended = Process::run(supervisor.vitals().args(["startup", "--within=soon"])).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--within"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_health_check_fails_without_a_process() {
    let supervisor = Fake::start().await;
    let mut health = supervisor.vitals();
    health.arg("health").env("PORT", "1");
    assert_eq!(Process::run(&mut health).await.code, Some(1));
}

#[tokio::test]
async fn a_malformed_setting_of_the_exporter_is_reported_without_its_value() {
    let supervisor = Fake::start().await;
    for signal in ["", "TRACES_", "METRICS_", "LOGS_"] {
        for (setting, value) in [
            ("HEADERS", "Authorization: Bearer s3cr3t"),
            ("HEADERS", "authorization=s3cr3t%ff"),
            ("ENDPOINT", "https://ann:s3cr3t@127.0.0.1"),
            ("ENDPOINT", "s3cr3t"),
        ] {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}{setting}");
            let ended = Process::run(supervisor.vitals().env(&name, value)).await;
            assert_eq!(ended.code, Some(2), "{name}");
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
            assert!(ended.stderr.contains(&name), "{}", ended.stderr);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!said.contains("s3cr3t"), "{said}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_certificate_is_an_invalid_setting() {
    let supervisor = Fake::start().await;
    let mut vitals = supervisor.vitals();
    vitals
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")
        .env("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/none")
        .env(
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        );
    let ended = Process::run(&mut vitals).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("OTEL_EXPORTER_OTLP_"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("_CERTIFICATE"), "{}", ended.stderr);
}

#[tokio::test]
async fn ignored_variables_are_logged_as_warnings() {
    let supervisor = Fake::start().await;
    let mut vitals = supervisor.vitals();
    vitals
        .env("OTEL_TRACES_SAMPLER", "jaeger_remote")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "many")
        .env("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://127.0.0.1:9411")
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_SDK_DISABLED", "TRUE")
        .env("RUST_LOG", "");
    let mut process = Process::start(&mut vitals);
    process.address().await;
    for variable in [
        "OTEL_TRACES_SAMPLER",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    ] {
        let warning = process.logged("variable", variable).await;
        assert_eq!(warning["level"], "WARN", "{warning}");
    }
    let warnings = process
        .log()
        .into_iter()
        .filter(|line| line["variable"].is_string());
    assert_eq!(warnings.count(), 3);
    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));
}
