//! Service links: variables that Kubernetes and Docker set in a container for other services.
//!
//! For a service `user` in the same namespace, every container has `USER_PORT=tcp://10.96.0.7:8080`.
//! This is the name of a setting of this project, but its value is no port.

use std::ffi::OsStr;

use clap::Command;

/// Whether the value of a variable is a service link and not a port.
#[must_use]
pub fn is_service_link(value: &OsStr) -> bool {
    let value = value.as_encoded_bytes();
    [b"tcp://", b"udp://"]
        .iter()
        .any(|scheme| value.starts_with(*scheme))
}

/// Makes the port settings of a command ignore variables that are service links. Such a setting keeps
/// its default.
#[must_use]
pub fn without_service_links(command: Command) -> Command {
    command.mut_args(|argument| {
        let variable = argument.get_env().filter(|name| is_of_port(name));
        let value = variable.and_then(std::env::var_os);
        if value.is_some_and(|value| is_service_link(&value)) {
            argument.env(None::<&str>)
        } else {
            argument
        }
    })
}

fn is_of_port(variable: &OsStr) -> bool {
    variable.as_encoded_bytes().ends_with(b"PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_link_has_a_scheme() {
        for link in ["tcp://10.96.0.7:8080", "udp://10.96.0.7:53", "tcp://"] {
            assert!(is_service_link(OsStr::new(link)), "{link}");
        }
        for port in ["8080", "", "tcp", "http://10.96.0.7:8080"] {
            assert!(!is_service_link(OsStr::new(port)), "{port}");
        }
    }
}
