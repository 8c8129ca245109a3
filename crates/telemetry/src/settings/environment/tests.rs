use super::*;

/// The settings of telemetry if these variables are set.
fn settings(variables: &[(&str, &str)]) -> Result<Settings, clap::Error> {
    let environment = environment(variables);
    let command = specified_by(Settings::augment_args(Command::new("")), &environment);
    // Passes the remaining variables as options, as clap does.
    let options = command.get_arguments().filter_map(|argument| {
        let value = environment(&variable(argument)?)?;
        let mut option = OsString::from(format!("--{}=", argument.get_long()?));
        option.push(value);
        Some(option)
    });
    let options: Vec<_> = std::iter::once(OsString::new()).chain(options).collect();
    let matches = command.try_get_matches_from(options)?;
    clap::FromArgMatches::from_arg_matches(&matches)
}

fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    |name| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some(value.into())
    }
}

fn warned_of(variables: &[(&str, &str)]) -> Vec<String> {
    let warnings = warnings_of(&environment(variables));
    warnings
        .into_iter()
        .map(|warning| warning.variable)
        .collect()
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let unset = format!("{:?}", settings(&[]).unwrap());
    for name in variables() {
        let set = [(name.as_str(), "")];
        assert_eq!(format!("{:?}", settings(&set).unwrap()), unset, "{name}");
        assert!(warned_of(&set).is_empty(), "{name}");
    }
    for (name, _) in IGNORED.iter().chain(FIXED) {
        assert!(warned_of(&[(name, "")]).is_empty(), "{name}");
    }
}

#[test]
fn unknown_names_and_invalid_numbers_are_ignored_with_a_warning() {
    let unset = format!("{:?}", settings(&[]).unwrap());
    for (name, value) in [
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "10s"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "x",
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_TRACES_EXPORTER", "zipkin,otlp"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.1"),
    ] {
        let set = [(name, value)];
        assert_eq!(format!("{:?}", settings(&set).unwrap()), unset, "{name}");
        assert_eq!(warned_of(&set), [name]);
    }
}

#[test]
fn case_does_not_matter() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
        ("OTEL_LOGS_EXPORTER", "None"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "ALWAYS_OFF"),
        ("OTEL_TRACES_SAMPLER", "Always_Off"),
    ];
    let parsed = settings(&variables).unwrap();
    let export = parsed.export(crate::settings::Signal::Traces).unwrap();
    assert_eq!(export.compression, crate::settings::Compression::Gzip);
    assert_eq!(export.protocol, crate::settings::Protocol::Http);
    assert!(parsed.export(crate::settings::Signal::Logs).is_none());
    assert_eq!(parsed.exemplar_filter, exemplars::Filter::AlwaysOff);
    assert_eq!(parsed.traces_sampler, crate::TracesSampler::AlwaysOff);
    assert!(
        settings(&[("OTEL_SDK_DISABLED", "TRUE")])
            .unwrap()
            .sdk_disabled
    );
    assert!(
        !settings(&[("OTEL_SDK_DISABLED", "False")])
            .unwrap()
            .sdk_disabled
    );
    assert!(warned_of(&variables).is_empty());
}

#[test]
fn malformed_urls_and_headers_are_errors() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "https://ann:s3cr3t@host",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "Authorization: Bearer x",
        ),
    ] {
        assert!(settings(&[(name, value)]).is_err(), "{name}");
        assert!(warned_of(&[(name, value)]).is_empty(), "{name}");
    }
}

#[test]
fn malformed_resource_attributes_are_warned_of() {
    for (value, is_malformed) in [
        ("", false),
        ("a=%20", false),
        ("a=1,=2", true),
        ("a=%ff", true),
    ] {
        let warned = warned_of(&[(RESOURCE_ATTRIBUTES, value)]);
        assert_eq!(warned == [RESOURCE_ATTRIBUTES], is_malformed, "{value}");
    }
}

#[test]
fn variables_without_effect_are_warned_of() {
    for (name, _) in IGNORED {
        assert_eq!(warned_of(&[(name, "x")]), [*name]);
    }
    for (name, only) in FIXED {
        assert_eq!(warned_of(&[(name, "7")]), [*name]);
        assert!(warned_of(&[(name, &only.to_uppercase())]).is_empty());
    }
}

#[test]
fn every_variable_is_documented() {
    let page = include_str!("../../../../../docs/telemetry.md");
    let section = page.split_once("## Environment variables").unwrap().1;
    let section = section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section);
    let documented: BTreeSet<(String, String)> = section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `OTEL_")?.split('|').map(str::trim);
            let name = format!("OTEL_{}", cells.next()?.trim_end_matches('`'));
            Some((name, cells.next()?.to_owned()))
        })
        .flat_map(|(name, state)| {
            // The four variables of a setting have one row.
            let signals = ["", "TRACES_", "METRICS_", "LOGS_"];
            let names = if name.contains("[SIGNAL_]") {
                signals
                    .map(|signal| name.replace("[SIGNAL_]", signal))
                    .to_vec()
            } else {
                vec![name]
            };
            names.into_iter().map(move |name| (name, state.clone()))
        })
        .collect();
    let supported = variables()
        .into_iter()
        .filter(|name| name.starts_with("OTEL_"));
    let known: BTreeSet<(String, String)> = supported
        .chain([RESOURCE_ATTRIBUTES.to_owned()])
        .map(|name| (name, "supported".to_owned()))
        .chain(
            FIXED
                .iter()
                .map(|(name, _)| ((*name).to_owned(), "fixed".to_owned())),
        )
        .chain(
            IGNORED
                .iter()
                .map(|(name, _)| ((*name).to_owned(), "ignored".to_owned())),
        )
        .collect();
    assert_eq!(documented, known);
}
