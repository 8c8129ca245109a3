//! Variables that Kubernetes and Docker set for the services beside a container.
//!
//! A service `user` in the same namespace gives every container `USER_PORT=tcp://10.96.0.7:8080`:
//! the name of a setting of ours, with the address of another program.

use std::ffi::OsStr;

use clap::Command;

/// Whether the value of a variable is that of a service link and no port.
#[must_use]
pub fn is_service_link(value: &OsStr) -> bool {
    let value = value.as_encoded_bytes();
    [b"tcp://", b"udp://"]
        .iter()
        .any(|scheme| value.starts_with(*scheme))
}

/// Makes every port setting of a command ignore a variable that is a service link: the setting keeps
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
