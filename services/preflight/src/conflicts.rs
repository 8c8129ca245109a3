//! Checks that the port settings do not conflict.

use std::{collections::BTreeMap, ffi::OsString};

use crate::{
    config::Config,
    findings::{Findings, Problem},
    ports::{PORTS, Port, SUPERVISOR},
};

/// Finds a process-compose on another port than the one that the processes and `vitals startup` use.
pub(crate) fn check_supervisor(config: &Config, findings: &mut Findings) {
    let supervisor = PORTS.iter().find(|port| port.process == SUPERVISOR);
    let expected = supervisor.map(|port| config.ports.of(port));
    if let (Some(actual), Some(expected)) = (config.process_compose_port, expected)
        && actual != expected
    {
        findings.problems.push(Problem {
            what: format!(
                "supervisor: process-compose listens on port {actual} (PC_PORT_NUM), but its clients use port \
                 {expected} (SUPERVISOR_PORT)."
            ),
            remedy: "Set both to the same port. `just` and `nix run` set PC_PORT_NUM to SUPERVISOR_PORT."
                .to_owned(),
        });
    }
}

/// Finds ports that are set twice. Checks the ports of all processes, even of those that are not started, because the
/// configurations contain all ports.
pub(crate) fn check(config: &Config, findings: &mut Findings) {
    let mut seen: BTreeMap<u16, &Port> = BTreeMap::new();
    let used = PORTS.iter().filter(|port| port.is_used_with(config.broker));
    for port in used {
        let number = config.ports.of(port);
        let Some(other) = seen.insert(number, port) else {
            continue;
        };
        findings.problems.push(Problem {
            what: format!(
                "{} and {} are both set to {number}.",
                other.variable, port.variable
            ),
            remedy: "Set them to different ports.".to_owned(),
        });
    }
    if config.supervised.is_some() {
        service_links(|variable| std::env::var_os(variable), findings);
    }
}

/// Finds port variables that are service links. The programs of this project ignore service links, but process-compose
/// inserts them into the commands of all other programs.
fn service_links(value: impl Fn(&str) -> Option<OsString>, findings: &mut Findings) {
    let links = PORTS
        .iter()
        .filter(|port| value(port.variable).is_some_and(|value| setup::is_service_link(&value)));
    findings.problems.extend(links.map(|port| Problem {
        what: format!(
            "{} is a service link of Kubernetes or Docker, not a port.",
            port.variable
        ),
        remedy:
            "Unset it before you start process-compose, as `just up` and `nix run` do.".to_owned(),
    }));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn swapped_ports_are_no_conflict() {
        let arguments = ["preflight", "--loki-port=3200", "--tempo-port=3100"];
        let config = Config::try_parse_from(arguments).unwrap();
        assert_eq!(found(&config), "");
    }

    #[test]
    fn a_port_that_is_set_twice_is_reported_with_both_variables() {
        let config = Config::try_parse_from(["preflight", "--loki-port=3000"]).unwrap();
        let found = found(&config);
        assert!(found.contains("LOKI_PORT and GRAFANA_PORT"), "{found}");
        assert!(found.contains("3000"), "{found}");
    }

    #[test]
    fn ports_of_the_other_broker_do_not_count() {
        let arguments = ["preflight", "--loki-port=19093"];
        let config = Config::try_parse_from(arguments).unwrap();
        assert_eq!(found(&config), "");
        let kafka = ["--broker=kafka"];
        let config = Config::try_parse_from(arguments.into_iter().chain(kafka)).unwrap();
        assert!(found(&config).contains("BROKER_CONTROLLER_PORT and LOKI_PORT"));
    }

    fn found(config: &Config) -> String {
        let mut findings = Findings::default();
        check(config, &mut findings);
        findings
            .problems
            .into_iter()
            .map(|problem| problem.what)
            .collect()
    }
}
