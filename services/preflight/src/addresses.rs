//! The addresses beyond 127.0.0.1: `[::1]`, and one external address for containers and other machines.
//!
//! A configuration has the lines for them as comments with [`marks`]: `#ipv6 `, `#external ` or `#token `. The NixOS
//! module replaces the same marks.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
};

use setup::Sockets;

use crate::{
    config::Config,
    findings::{Findings, Problem},
    marks,
    ports::PORTS,
    processes::Selection,
};

pub(crate) const EXTERNAL_ADDRESS: &str = "OTELIX_EXTERNAL_ADDRESS";
pub(crate) const OTLP_TOKEN: &str = "OTLP_TOKEN";
pub(crate) const OTLP_TOKEN_FILE: &str = "OTLP_TOKEN_FILE";

/// The placeholder of the external address in configurations.
const PLACEHOLDER: &str = "${OTELIX_EXTERNAL_ADDRESS}";

const COLLECTOR: &str = "otel-collector";

/// The addresses of this start.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Addresses {
    /// Whether the collector listens on `[::1]` too.
    pub(crate) ipv6: bool,
    /// The address at which containers and other machines reach the collector and the broker.
    pub(crate) external: Option<IpAddr>,
    /// Whether senders need a secret there.
    pub(crate) has_token: bool,
}

impl Addresses {
    pub(crate) fn check(config: &Config, selection: &Selection, findings: &mut Findings) -> Self {
        let external = external(config, selection, findings);
        Self {
            ipv6: ipv6(config, selection, findings),
            external,
            has_token: token(config, external, selection, findings),
        }
    }

    /// Removes the marks of the lines that apply, and fills in the external address.
    pub(crate) fn fill(&self, text: &str) -> String {
        let marks = [
            ("#ipv6 ", self.ipv6),
            ("#external ", self.external.is_some()),
            ("#token ", self.external.is_some() && self.has_token),
        ];
        let filled = marks::remove(text, &marks);
        let Some(external) = self.external else {
            return filled;
        };
        let before_port = match external {
            IpAddr::V4(address) => format!("{address}:"),
            IpAddr::V6(address) => format!("[{address}]:"),
        };
        filled
            .replace(&format!("{PLACEHOLDER}:"), &before_port)
            .replace(PLACEHOLDER, &external.to_string())
    }
}

/// Whether the collector can listen on `[::1]`. A machine without IPv6 has no such address.
fn ipv6(config: &Config, selection: &Selection, findings: &mut Findings) -> bool {
    let mut is_there = true;
    let ports = PORTS.iter().filter(|port| port.substitute.is_some());
    for port in ports {
        let number = config.ports.of(port);
        match TcpListener::bind((Ipv6Addr::LOCALHOST, number)) {
            Ok(_) => {}
            // If the collector is not to start, it may be the one that listens.
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if selection.contains(COLLECTOR) {
                    is_there = false;
                    findings.warnings.push(Problem {
                        what: format!(
                            "{COLLECTOR}: another process listens on port {number} of [::1]. It receives what clients \
                             send to localhost, if they try IPv6 first."
                        ),
                        remedy: format!(
                            "End that process, set {} to a free port, or send to 127.0.0.1.",
                            port.variable
                        ),
                    });
                }
            }
            Err(_) => is_there = false,
        }
    }
    is_there
}

/// The external address, if it is set and belongs to this machine.
fn external(config: &Config, selection: &Selection, findings: &mut Findings) -> Option<IpAddr> {
    let given = config.external_address.trim();
    if given.is_empty() {
        return None;
    }
    let remedy = "Set it to the IP address at which others reach this machine: 172.17.0.1 for Docker's containers on \
                  Linux, or one of those that `ip -brief address` lists.";
    let mut problem = |what: String, remedy: String| {
        findings.problems.push(Problem { what, remedy });
    };
    let bare = given
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let Ok(address) = bare.unwrap_or(given).parse::<IpAddr>() else {
        let what = format!("{EXTERNAL_ADDRESS} is no IP address: {given}.");
        problem(what, remedy.to_owned());
        return None;
    };
    if address.is_unspecified() {
        let what = format!(
            "{EXTERNAL_ADDRESS} is {address}, which stands for all addresses. The broker has to tell its clients one \
             to connect to."
        );
        problem(what, remedy.to_owned());
        return None;
    }
    if [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ]
    .contains(&address)
    {
        let what = format!("{EXTERNAL_ADDRESS} is {address}, which no other machine can reach.");
        problem(what, remedy.to_owned());
        return None;
    }
    let ports = PORTS.iter().filter(|port| {
        let is_there = port.is_external || port.substitute.is_some();
        is_there && selection.contains(port.process)
    });
    let sockets = Sockets::read();
    for port in ports {
        let number = config.ports.of(port);
        let at = SocketAddr::new(address, number);
        let process = port.process;
        match TcpListener::bind(at) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                // The port is in use on loopback too, which is reported there.
                if port.is_external || !sockets.listens(number) {
                    problem(
                        format!("{process}: {at} is in use ({EXTERNAL_ADDRESS})."),
                        format!(
                            "End the process that listens there, or set {} to a free port.",
                            port.variable
                        ),
                    );
                }
            }
            Err(error) => {
                let what = format!(
                    "{EXTERNAL_ADDRESS} is {address}, which is no address of this machine: {error}."
                );
                problem(what, remedy.to_owned());
                return None;
            }
        }
    }
    if selection.contains("lens") {
        findings.warnings.push(Problem {
            what: format!(
                "lens: it listens on loopback alone. {EXTERNAL_ADDRESS} is for the collector and the broker."
            ),
            remedy: "To send from elsewhere, start lens alone with LISTEN_ADDRESS.".to_owned(),
        });
    }
    if selection.contains("broker") {
        findings.warnings.push(Problem {
            what: format!(
                "broker: every machine that reaches {address} can read and write events. The broker has no passwords."
            ),
            remedy: "Keep others out with a firewall.".to_owned(),
        });
    }
    Some(address)
}

/// Whether senders need a secret at the external address. Warns if they do not.
fn token(
    config: &Config,
    external: Option<IpAddr>,
    selection: &Selection,
    findings: &mut Findings,
) -> bool {
    let Config {
        otlp_token,
        otlp_token_file,
        ..
    } = config;
    let mut problem = |what: String| {
        findings.problems.push(Problem {
            what,
            remedy: "`openssl rand -hex 16` makes a secret.".to_owned(),
        });
    };
    let has_file = !otlp_token_file.as_os_str().is_empty();
    if !otlp_token.is_empty() && has_file {
        problem(format!("{OTLP_TOKEN} and {OTLP_TOKEN_FILE} are both set."));
        return false;
    }
    if has_file {
        match first_word(otlp_token_file) {
            Ok(secret) if is_secret(&secret) => {}
            Ok(_) => problem(format!(
                "{OTLP_TOKEN_FILE}: {} has no secret of 16 to 256 letters, digits and signs of -._~+/=.",
                otlp_token_file.display()
            )),
            Err(error) => problem(format!(
                "{OTLP_TOKEN_FILE}: cannot read {}: {error}.",
                otlp_token_file.display()
            )),
        }
        return true;
    }
    if !otlp_token.is_empty() {
        if !is_secret(otlp_token) {
            problem(format!(
                "{OTLP_TOKEN} is no secret of 16 to 256 letters, digits and signs of -._~+/=."
            ));
        }
        return true;
    }
    if let Some(address) = external
        && selection.contains(COLLECTOR)
    {
        findings.warnings.push(Problem {
            what: format!(
                "{COLLECTOR}: every machine that reaches {address} can send telemetry, since {OTLP_TOKEN} is not set."
            ),
            remedy: format!(
                "Set {OTLP_TOKEN} to a secret, such as the output of `openssl rand -hex 16`, or keep others out with \
                 a firewall."
            ),
        });
    }
    false
}

fn first_word(file: &Path) -> std::io::Result<String> {
    let text = fs::read_to_string(file)?;
    Ok(text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

fn is_secret(text: &str) -> bool {
    let is_allowed =
        |character: char| character.is_ascii_alphanumeric() || "-._~+/=".contains(character);
    (16..=256).contains(&text.len()) && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
receivers:
  otlp:
  #ipv6 otlp/ipv6:
  #ipv6   endpoint: \"[::1]:4317\"
  #external otlp/external:
  #external   endpoint: \"${OTELIX_EXTERNAL_ADDRESS}:4317\"
  #external   host: ${OTELIX_EXTERNAL_ADDRESS}
  #token   auth: x
  # ipv6 is a word
";

    #[test]
    fn marks_are_removed_from_the_lines_that_apply() {
        assert_eq!(Addresses::default().fill(TEXT), TEXT);
        let ipv6 = Addresses {
            ipv6: true,
            has_token: true,
            ..Addresses::default()
        };
        let filled = ipv6.fill(TEXT);
        assert!(
            filled.contains("  otlp/ipv6:\n    endpoint: \"[::1]:4317\"\n  #external"),
            "{filled}"
        );
        assert!(filled.contains("\n  #token   auth"), "{filled}");
        for (address, with_port) in [
            ("192.0.2.7", "192.0.2.7:4317"),
            ("fd00::2", "[fd00::2]:4317"),
        ] {
            let external = Addresses {
                external: Some(address.parse().unwrap()),
                has_token: true,
                ..Addresses::default()
            };
            let expected = format!(
                "  otlp/external:\n    endpoint: \"{with_port}\"\n    host: {address}\n    auth: x\n  # ipv6 is a word\n"
            );
            let filled = external.fill(TEXT);
            assert!(filled.ends_with(&expected), "{filled}");
            assert!(filled.contains("  #ipv6 otlp"), "{filled}");
        }
    }

    #[test]
    fn a_secret_has_a_length_and_an_alphabet() {
        assert!(is_secret("0123456789abcdef") && is_secret("-._~+/=-._~+/=Az"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcde ",
            "0123456789abcdeä",
        ] {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }
}
