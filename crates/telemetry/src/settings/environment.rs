//! Environment variables, read by the rules of the OpenTelemetry specification.
//!
//! An empty variable counts as unset. An unknown name or an invalid number is ignored with a warning.
//! A malformed URL, header or certificate ends the process, and so does any wrong option of the
//! command line.

use std::{collections::BTreeSet, ffi::OsString};

use clap::{Arg, Args as _, Command};
use opentelemetry::KeyValue;

use super::{Settings, pairs};

/// The attributes of the resource. No option sets them.
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Variables of the specification that have no effect here, and why.
pub(crate) const IGNORED: &[(&str, &str)] = &[
    (
        "OTEL_ENTITIES",
        "OTEL_RESOURCE_ATTRIBUTES describes the resource",
    ),
    ("OTEL_LOG_LEVEL", "RUST_LOG sets the level"),
    ("OTEL_BSP_EXPORT_TIMEOUT", EXPORT_TIMEOUT),
    ("OTEL_BLRP_EXPORT_TIMEOUT", EXPORT_TIMEOUT),
    ("OTEL_METRIC_EXPORT_TIMEOUT", EXPORT_TIMEOUT),
    (
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        "a log record has at most 32 attributes",
    ),
    ("OTEL_EXPORTER_OTLP_INSECURE", SCHEME),
    ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", SCHEME),
    ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", SCHEME),
    ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", SCHEME),
    ("OTEL_EXPORTER_OTLP_SPAN_INSECURE", SCHEME),
    ("OTEL_EXPORTER_OTLP_METRIC_INSECURE", SCHEME),
    ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", OTLP),
    ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", OTLP),
    ("OTEL_EXPORTER_ZIPKIN_PROTOCOL", OTLP),
    ("OTEL_EXPORTER_PROMETHEUS_HOST", OTLP),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", OTLP),
    ("OTEL_CONFIG_FILE", CONFIGURATION),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", CONFIGURATION),
];

const EXPORT_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT limits an export with its retries";
const SCHEME: &str = "the scheme of the endpoint decides";
const OTLP: &str = "OTLP is the only exporter";
const CONFIGURATION: &str = "there is no declarative configuration";

/// Variables of the specification that have only one possible value here.
pub(crate) const FIXED: &[(&str, &str)] = &[
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "128"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "128"),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "128"),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "128"),
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "128"),
    ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "128"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative",
    ),
];

/// A variable that is set but ignored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Warning {
    pub(crate) variable: String,
    pub(crate) reason: String,
}

/// The command without the variables of telemetry's settings that count as unset.
#[must_use]
pub fn specified(command: Command) -> Command {
    specified_by(command, &|name| std::env::var_os(name))
}

/// The variables of this process that are set but ignored.
pub(crate) fn warnings() -> Vec<Warning> {
    warnings_of(&|name| std::env::var_os(name))
}

/// The attributes in `OTEL_RESOURCE_ATTRIBUTES`. If its value is malformed, there are none.
pub(crate) fn resource_attributes() -> Vec<KeyValue> {
    let value = std::env::var_os(RESOURCE_ATTRIBUTES).unwrap_or_default();
    pairs::attributes(&value).unwrap_or_default()
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn specified_by(command: Command, environment: Environment<'_>) -> Command {
    let ours = variables();
    command.mut_args(|argument| {
        let counts_as_unset = variable(&argument)
            .filter(|name| ours.contains(name))
            .and_then(|name| Some((environment(&name)?, name)))
            .is_some_and(|(value, name)| value.is_empty() || is_ignored(&argument, &name, &value));
        if counts_as_unset {
            argument.env(None::<&str>)
        } else {
            argument
        }
    })
}

fn warnings_of(environment: Environment<'_>) -> Vec<Warning> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let warning = |variable: &str, reason: &str| Warning {
        variable: variable.to_owned(),
        reason: reason.to_owned(),
    };
    let command = Settings::augment_args(Command::new(""));
    let invalid = command.get_arguments().filter_map(|argument| {
        let name = variable(argument)?;
        let value = set(&name)?;
        is_ignored(argument, &name, &value)
            .then(|| warning(&name, "the value is invalid, and the default applies"))
    });
    let fixed = FIXED.iter().filter_map(|(name, only)| {
        let is_other = !set(name)?.eq_ignore_ascii_case(only);
        is_other.then(|| warning(name, &format!("the value is always {only}")))
    });
    let ignored = IGNORED
        .iter()
        .filter_map(|(name, reason)| set(name).map(|_| warning(name, reason)));
    let resource = set(RESOURCE_ATTRIBUTES).and_then(|value| {
        let reason = pairs::attributes(&value).err()?;
        Some(warning(RESOURCE_ATTRIBUTES, reason))
    });
    invalid
        .chain(fixed)
        .chain(ignored)
        .chain(resource)
        .collect()
}

/// The variables of telemetry's settings.
pub(crate) fn variables() -> BTreeSet<String> {
    Settings::augment_args(Command::new(""))
        .get_arguments()
        .filter_map(variable)
        .collect()
}

fn variable(argument: &Arg) -> Option<String> {
    Some(argument.get_env()?.to_str()?.to_owned())
}

/// Whether the specification requires that this value is ignored. It does so for invalid names and numbers.
fn is_ignored(argument: &Arg, name: &str, value: &OsString) -> bool {
    let is_name_or_number = name.starts_with("OTEL_")
        && !["ENDPOINT", "HEADERS", "CERTIFICATE", "CLIENT_KEY"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
    let is_valid = || {
        let alone = argument.clone().env(None::<&str>);
        let mut option = OsString::from(format!("--{}=", argument.get_long().unwrap_or_default()));
        option.push(value);
        let command = Command::new("").arg(alone);
        command
            .try_get_matches_from([OsString::new(), option])
            .is_ok()
    };
    is_name_or_number && !is_valid()
}

#[cfg(test)]
mod tests;
