//! Checks that every port is free, and otherwise names the process that uses it.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
};

use setup::Sockets;

use crate::{
    config::Config,
    findings::{Findings, Problem},
    ports::{PORTS, Port, Ports, SUPERVISOR},
    processes::Selection,
};

/// Checks the ports. Returns `false` if another stack is running, which also explains other findings.
pub(crate) fn check(config: &Config, selection: &Selection, findings: &mut Findings) -> bool {
    let sockets = Sockets::read();
    let is_before_supervisor = config.supervised.is_none();
    if is_before_supervisor && let Some(problem) = other_stack(&config.ports, &sockets) {
        // The other ports belong to that stack too, so they are not reported.
        findings.problems.push(problem);
        return false;
    }
    let wanted = PORTS.iter().filter(|port| {
        let is_to_run = if port.process == SUPERVISOR {
            is_before_supervisor
        } else {
            selection.contains(port.process)
                || port.substitute.is_some_and(|name| selection.contains(name))
        };
        port.is_used_with(config.broker) && is_to_run
    });
    let problems = wanted.filter_map(|port| check_one(port, config.ports.of(port), &sockets));
    findings.problems.extend(problems);
    true
}

/// The problem of a running stack on the same ports, if there is one.
fn other_stack(ports: &Ports, sockets: &Sockets) -> Option<Problem> {
    let port = PORTS.iter().find(|port| port.process == SUPERVISOR)?;
    let number = ports.of(port);
    let holder = sockets.holder(number)?;
    let is_ours = sockets.listens(number) && holder.starts_with("process-compose ");
    is_ours.then(|| Problem {
        what: format!("A stack is already running: {holder} listens on port {number}."),
        remedy: format!(
            "To see it, run `process-compose attach`. To stop it, run `process-compose down`. To run a second stack, \
             set OTELIX_DATA to another folder, and {} and all other port variables to free ports.",
            port.variable
        ),
    })
}

fn check_one(port: &Port, number: u16, sockets: &Sockets) -> Option<Problem> {
    let Port {
        process, variable, ..
    } = port;
    let what = match TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
        Ok(_) if !sockets.listens(number) => return None,
        Err(error) if error.kind() != ErrorKind::AddrInUse => {
            return Some(Problem {
                what: format!("{process}: cannot listen on port {number}: {error}."),
                remedy: format!("Set {variable} to another port."),
            });
        }
        Ok(_) | Err(_) => match sockets.holder(number) {
            Some(holder) => format!("{process}: port {number} is in use by {holder}."),
            None => format!("{process}: port {number} is in use."),
        },
    };
    Some(Problem {
        what,
        remedy: format!("End that process, or set {variable} to a free port."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Port = PORTS[0];

    #[test]
    fn a_free_port_is_no_problem() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(check_one(&PORT, number, &Sockets::read()), None);
    }

    #[test]
    fn a_port_in_use_is_reported_with_its_process_on_any_address() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue; // a machine without IPv6
            };
            let number = listener.local_addr().unwrap().port();
            let problem = check_one(&PORT, number, &Sockets::read()).unwrap();
            let expected = format!("user: port {number} is in use");
            assert!(problem.what.starts_with(&expected), "{}", problem.what);
            assert!(problem.remedy.contains("USER_PORT"), "{}", problem.remedy);
            if cfg!(target_os = "linux") {
                let process = format!("(pid {})", std::process::id());
                assert!(problem.what.contains(&process), "{}", problem.what);
            }
        }
    }

    #[test]
    fn a_listener_on_another_loopback_address_is_no_problem() {
        let Ok(listener) = TcpListener::bind("127.0.0.2:0") else {
            return; // a system with only one loopback address
        };
        let number = listener.local_addr().unwrap().port();
        assert_eq!(check_one(&PORT, number, &Sockets::read()), None);
    }
}
