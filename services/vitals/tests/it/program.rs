//! The program on the outside: settings, subcommands, exit codes.

use crate::{fake::Fake, process::Process};

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
async fn a_wrong_setting_is_named() {
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
async fn without_a_process_it_is_not_healthy() {
    let supervisor = Fake::start().await;
    let mut health = supervisor.vitals();
    health.arg("health").env("PORT", "1");
    assert_eq!(Process::run(&mut health).await.code, Some(1));
}
