//! What a person reads: what is wrong, or where everything is.

use std::{
    io::{self, Write, stderr, stdout},
    path::Path,
};

use crate::{
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
        1 => writeln!(out, "This keeps otelix from starting:\n")?,
        count => writeln!(out, "These {count} problems keep otelix from starting:\n")?,
    }
    list(&mut out, problems)?;
    match (problems.len(), warnings.len()) {
        (_, 0) => {}
        (0, _) => writeln!(out, "otelix starts, but:\n")?,
        (_, _) => writeln!(out, "And besides:\n")?,
    }
    list(&mut out, warnings)?;
    out.flush()
}

/// Each problem, and below it what to do; what is to be done about several in a row is said once.
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

pub(crate) fn ready(data: &Path, selection: &Selection, ports: &Ports) -> io::Result<()> {
    let mut out = stdout().lock();
    let configurations = configurations::folder(data);
    writeln!(out, "otelix can start: nothing is missing.\n")?;
    writeln!(out, "  data            {}", data.display())?;
    writeln!(
        out,
        "  secrets         {}",
        setup::secrets_folder(data).display()
    )?;
    writeln!(out, "  configurations  {}", configurations.display())?;
    for (process, variable) in [
        ("frontend", "FRONTEND_PORT"),
        ("grafana", "GRAFANA_PORT"),
        ("prometheus", "PROMETHEUS_PORT"),
    ] {
        let port = PORTS.iter().find(|port| port.variable == variable);
        if let Some(port) = port.filter(|_| selection.contains(process)) {
            writeln!(out, "  {process:<14}  http://127.0.0.1:{}", ports.of(port))?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_remedy_for_several_is_said_once() {
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
