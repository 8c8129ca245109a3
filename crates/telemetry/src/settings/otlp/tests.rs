use super::*;

fn parse(args: &[&str]) -> Result<Otlp, clap::Error> {
    let command = Otlp::augment_args(Command::new("x")).mut_args(|arg| arg.env(None::<&str>));
    let matches = command.try_get_matches_from([&["x"], args].concat())?;
    Otlp::from_arg_matches(&matches)
}

#[test]
fn every_setting_of_a_signal_replaces_the_one_of_all() {
    let all = [
        ("endpoint", "http://127.0.0.1:1"),
        ("protocol", "grpc"),
        ("headers", "a=all"),
        ("timeout", "1"),
        ("compression", "none"),
        ("certificate", "all"),
        ("client-certificate", "all"),
        ("client-key", "all"),
    ];
    let own = [
        ("endpoint", "http://127.0.0.1:2"),
        ("protocol", "http/protobuf"),
        ("headers", "a=own"),
        ("timeout", "2"),
        ("compression", "gzip"),
        ("certificate", "own"),
        ("client-certificate", "own"),
        ("client-key", "own"),
    ];
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        let options = |of: &str, settings: [(&str, &str); 8]| {
            settings.map(|(name, value)| format!("--otlp-{of}{name}={value}"))
        };
        let of = format!("{}-", signal.name());
        let args: Vec<_> = options("", all)
            .into_iter()
            .chain(options(&of, own))
            .collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let otlp = parse(&args).unwrap();
        for other in [Signal::Traces, Signal::Metrics, Signal::Logs] {
            let export = otlp.export(other).unwrap();
            let (value, number) = if other == signal {
                ("own", 2)
            } else {
                ("all", 1)
            };
            let port = export.endpoint.uri().port_u16();
            assert_eq!(port, Some(number));
            assert_eq!(export.protocol == Protocol::Http, other == signal);
            assert_eq!(export.headers.map()["a"], value);
            assert_eq!(export.timeout, Duration::from_millis(number.into()));
            assert_eq!(export.compression == Compression::Gzip, other == signal);
            for (variable, file) in [
                export.certificate.unwrap(),
                export.client_certificate.unwrap(),
                export.client_key.unwrap(),
            ] {
                assert_eq!(file.to_str(), Some(value));
                assert_eq!(
                    variable.contains("_TRACES_"),
                    other == signal && signal == Signal::Traces
                );
            }
        }
    }
}

#[test]
fn a_signal_is_appended_to_the_common_endpoint_of_http_alone() {
    let uri = |args: &[&str]| {
        parse(args)
            .unwrap()
            .export(Signal::Logs)
            .unwrap()
            .endpoint
            .uri()
            .to_string()
    };
    let http = "--otlp-protocol=http/protobuf";
    for (endpoint, expected) in [
        ("http://h:1", "http://h:1/v1/logs"),
        ("http://h:1/", "http://h:1/v1/logs"),
        ("https://h/a/b/", "https://h/a/b/v1/logs"),
        ("https://h/a?k=v", "https://h/a/v1/logs?k=v"),
    ] {
        assert_eq!(
            uri(&[http, &format!("--otlp-endpoint={endpoint}")]),
            expected
        );
        let own = format!("--otlp-logs-endpoint={endpoint}");
        assert_eq!(
            uri(&[http, &own]),
            endpoint.parse::<Uri>().unwrap().to_string()
        );
    }
    assert_eq!(uri(&["--otlp-endpoint=http://h:1/a"]), "http://h:1/a");
}

#[test]
fn a_signal_without_an_endpoint_is_not_exported() {
    let otlp = parse(&["--otlp-logs-endpoint=http://h"]).unwrap();
    assert!(otlp.export(Signal::Traces).is_none());
    assert!(otlp.export(Signal::Logs).is_some());
}

#[test]
fn headers_are_decoded() {
    let headers: Headers = "Authorization=Basic%20QQ%3D%3D, x-tenant = a"
        .parse()
        .unwrap();
    assert_eq!(headers.map()["authorization"], "Basic QQ==");
    assert_eq!(headers.map()["x-tenant"], "a");
}

#[test]
fn credentials_are_in_no_debug_output_and_no_error() {
    let otlp = parse(&[
        "--otlp-headers=authorization=s3cr3t",
        "--otlp-logs-headers=x=s3cr3t",
        "--otlp-endpoint=https://h/p?key=s3cr3t",
    ])
    .unwrap();
    let shown = format!(
        "{otlp:?} {:?} {}",
        otlp.export(Signal::Logs),
        otlp.endpoint().unwrap()
    );
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(shown.contains("https://h/p"), "{shown}");

    for malformed in [
        "authorization: s3cr3t",
        "s3cr3t",
        "s3cr3t s3cr3t=x",
        "a=s3cr3t%ff",
        "a=s3cr3t%0a",
    ] {
        let error = malformed.parse::<Headers>().unwrap_err();
        assert!(!error.contains("s3cr3t"), "{malformed}: {error}");
    }
    for malformed in [
        "http://ann:s3cr3t@h",
        "s3cr3t",
        "http://s3cr3t s3cr3t",
        "ftp://s3cr3t",
        "http://s3cr3t:99999",
        "http://s3cr3t:",
        "http://[::1]:0/s3cr3t",
    ] {
        let error = malformed.parse::<Endpoint>().unwrap_err();
        assert!(!error.contains("s3cr3t"), "{malformed}: {error}");
    }
}
