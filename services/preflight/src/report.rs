//! The output for the user: the problems, or the addresses and folders of the stack.

use std::{
    io::{self, Write, stderr, stdout},
    net::SocketAddr,
    path::Path,
};

use setup::Secret;

use crate::{
    addresses::Addresses,
    configurations,
    findings::{Findings, Problem},
    ports::{PORTS, Ports},
    processes::Selection,
};

pub(crate) fn findings(findings: &Findings) -> io::Result<()> {
    let Findings { problems, warnings } = findings;
    let mut out = stderr().lock();
    match problems.len() {
        0 => {}
        1 => writeln!(out, "otelix cannot start because of 1 problem:\n")?,
        count => writeln!(out, "otelix cannot start because of {count} problems:\n")?,
    }
    list(&mut out, problems)?;
    match (problems.len(), warnings.len()) {
        (_, 0) => {}
        (0, _) => writeln!(out, "otelix can start, with warnings:\n")?,
        (_, _) => writeln!(out, "Warnings:\n")?,
    }
    list(&mut out, warnings)?;
    out.flush()
}

/// Prints each problem with its remedy below it. Consecutive problems with the same remedy share one line.
fn list(out: &mut impl Write, problems: &[Problem]) -> io::Result<()> {
    for (number, Problem { what, remedy }) in problems.iter().enumerate() {
        writeln!(out, "  {what}")?;
        match problems.get(number + 1) {
            Some(next) if next.remedy == *remedy => {}
            Some(_) => writeln!(out, "      {remedy}")?,
            None => writeln!(out, "      {remedy}\n")?,
        }
    }
    Ok(())
}

/// Prints the addresses and folders of the stack, and how to stop it, on stdout.
pub(crate) fn ready(
    data: &Path,
    selection: &Selection,
    ports: &Ports,
    addresses: &Addresses,
) -> io::Result<()> {
    let mut out = stdout().lock();
    write_ready(&mut out, data, selection, ports, addresses)?;
    out.flush()
}

fn write_ready(
    out: &mut impl Write,
    data: &Path,
    selection: &Selection,
    ports: &Ports,
    addresses: &Addresses,
) -> io::Result<()> {
    let number = |variable: &str| {
        let port = PORTS.iter().find(|port| port.variable == variable);
        port.map_or(0, |port| ports.of(port))
    };
    let url = |variable: &str| format!("http://127.0.0.1:{}", number(variable));
    let secrets = setup::secrets_folder(data);
    let configurations = configurations::folder(data);
    let mut lines = vec![
        ("data", data.display().to_string()),
        ("secrets", secrets.display().to_string()),
        ("configurations", configurations.display().to_string()),
    ];
    if selection.contains("frontend") {
        let pages = url("FRONTEND_PORT");
        lines.push(("status page", format!("{pages}/status")));
        lines.push(("frontend", pages));
    }
    if selection.contains("grafana") {
        let password = Secret::GrafanaAdminPassword.path(data);
        lines.push(("grafana", url("GRAFANA_PORT")));
        lines.push(("  admin", format!("password in {}", password.display())));
    }
    if selection.contains("prometheus") {
        lines.push(("prometheus", url("PROMETHEUS_PORT")));
    }
    if selection.has_profiles() {
        lines.push(("pyroscope", url("PYROSCOPE_PORT")));
    }
    if selection.contains("otel-collector") {
        let (grpc, http) = (
            url("OTEL_COLLECTOR_OTLP_GRPC_PORT"),
            url("OTEL_COLLECTOR_OTLP_HTTP_PORT"),
        );
        lines.push(("send OTLP to", format!("{grpc} (gRPC) or {http} (HTTP)")));
    }
    if let Some(address) = addresses.external {
        let at = |variable: &str| SocketAddr::new(address, number(variable));
        if selection.contains("otel-collector") {
            let (grpc, http) = (
                at("OTEL_COLLECTOR_OTLP_GRPC_PORT"),
                at("OTEL_COLLECTOR_OTLP_HTTP_PORT"),
            );
            let both = format!("http://{grpc} (gRPC) or http://{http} (HTTP)");
            lines.push(("  from outside", both));
        }
        if selection.contains("broker") {
            let broker = at("BROKER_EXTERNAL_PORT").to_string();
            lines.push(("broker outside", broker));
        }
    }
    writeln!(out, "otelix can start: nothing is missing.\n")?;
    for (name, text) in lines {
        writeln!(out, "  {name:<14}  {text}")?;
    }
    writeln!(
        out,
        "\nTo stop it: `just down`, `process-compose down`, or `nix run .#stack -- down`."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_of_several_problems_is_printed_once() {
        let problem = |what: &str, remedy: &str| Problem {
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        };
        let problems = [
            problem("A.", "Do it."),
            problem("B.", "Do it."),
            problem("C.", "Do that."),
        ];
        let mut text = Vec::new();
        list(&mut text, &problems).unwrap();
        let expected = "  A.\n  B.\n      Do it.\n  C.\n      Do that.\n\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
