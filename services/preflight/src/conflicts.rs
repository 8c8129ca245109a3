//! Ports that cannot be used together.

use std::{collections::BTreeMap, ffi::OsString};

use crate::{
    config::Config,
    findings::{Findings, Problem},
    ports::{PORTS, Port, SUPERVISOR},
};

/// Finds a process-compose that listens elsewhere than the processes, and `vitals startup`, look for it.
pub(crate) fn check_supervisor(config: &Config, findings: &mut Findings) {
    let supervisor = PORTS.iter().find(|port| port.process == SUPERVISOR);
    let expected = supervisor.map(|port| config.ports.of(port));
    if let (Some(actual), Some(expected)) = (config.process_compose_port, expected)
        && actual != expected
    {
        findings.problems.push(Problem {
            what: format!(
                "supervisor: process-compose listens on {actual} (PC_PORT_NUM), and is looked for on {expected} \
                 (SUPERVISOR_PORT)."
            ),
            remedy: "Set both to the same port. `just` and `nix run` set PC_PORT_NUM to SUPERVISOR_PORT."
                .to_owned(),
        });
    }
}

/// Finds ports that two want. All count, not only those that run: the configurations name them all.
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
                "{} and {} are both {number}.",
                other.variable, port.variable
            ),
            remedy: "Give each a port of its own.".to_owned(),
        });
    }
    if config.supervised.is_some() {
        service_links(|variable| std::env::var_os(variable), findings);
    }
}

/// Finds service links in the place of ports. Our programs ignore them, but process-compose, which
/// has started preflight, puts them into the commands of all others.
fn service_links(value: impl Fn(&str) -> Option<OsString>, findings: &mut Findings) {
    let links = PORTS
        .iter()
        .filter(|port| value(port.variable).is_some_and(|value| setup::is_service_link(&value)));
    findings.problems.extend(links.map(|port| Problem {
        what: format!(
            "{} is a service link of Kubernetes or Docker, and no port.",
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
    fn ports_that_change_places_are_no_conflict() {
        let arguments = ["preflight", "--loki-port=3200", "--tempo-port=3100"];
        let config = Config::try_parse_from(arguments).unwrap();
        assert_eq!(found(&config), "");
    }

    #[test]
    fn a_port_that_is_given_twice_is_named_with_both_variables() {
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
