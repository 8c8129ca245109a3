//! The commands, as separate processes.

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, response::IntoResponse as _};
use testing::{Ended, Process};
use tokio::net::TcpListener;

use crate::server::{Server, hex};

fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = testing::program(env!("CARGO_BIN_EXE_lens"));
    command.args(arguments).env("LENS_URL", &server.url);
    command
}

async fn run(server: &Server, arguments: &[&str]) -> Ended {
    Process::run(&mut command(server, arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_when_enough_match() {
    let server = Server::start().await;
    let filter = "service:checkout status:error";
    let waiting = Process::start(&mut command(&server, &["wait", filter, "--count", "2"]));
    server.add_trace(1, 1, true);
    server.add_trace(2, 1, false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.add_trace(3, 2, true);
    let ended = waiting.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            format!("{} checkout: span 1, 6 ms, spans: 2, 2 errors", hex(3)),
            format!("{} checkout: span 1, 5 ms, spans: 1, 1 error", hex(1)),
        ]
    );
    let page = format!("{}/traces?q=service%3Acheckout+status%3Aerror", server.url);
    assert_eq!(
        ended.stderr,
        format!("2 traces match, and at least 2 are expected: {page}\n")
    );
    let ended = run(&server, &["wait", "service:none", "--within", "300ms"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("failed: 0 traces match"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn assert_decides_by_what_is_stored() {
    let server = Server::start().await;
    server.add_trace(1, 1, true);
    server.add_trace(2, 1, true);
    server.add_logs(0..3, "one\u{1b} line");
    for (arguments, code) in [
        (&["status:error"][..], 0),
        (&["status:error", "--at-least", "3"], 1),
        (&["status:error", "--count", "2"], 0),
        (&["status:error", "--count", "1"], 1),
        (&["status:error", "--none"], 1),
        (&["status:ok", "--none"], 0),
        (&["service:checkout", "--signal", "logs", "--count", "3"], 0),
        (&["status:eror"], 2),
        (&["level:warn"], 2),
        (&["status:error", "--within", "soon"], 2),
    ] {
        let ended = run(&server, &[&["assert"], arguments].concat()).await;
        assert_eq!(ended.code, Some(code), "{arguments:?} {ended:?}");
    }
    let ended = run(&server, &["assert", "severity=WARN"]).await;
    assert!(
        ended.stderr.contains("`severity=WARN`: traces have no"),
        "{ended:?}"
    );
    let ended = run(&server, &["assert", "line", "--signal", "logs"]).await;
    let line = ended.stdout.lines().next().unwrap();
    assert_eq!(
        line,
        format!(
            "{} 2023-11-14T22:13:20.002Z INFO checkout: one⟨U+001B⟩ line 2",
            hex(2)
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_certain_at_the_end_of_the_time() {
    let server = Server::start().await;
    let began = Instant::now();
    let ended = run(
        &server,
        &["assert", "status:error", "--none", "--within", "700ms"],
    )
    .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed() >= Duration::from_millis(700));

    let began = Instant::now();
    let arguments = ["assert", "status:error", "--none", "--within", "15s"];
    let waiting = Process::start(&mut command(&server, &arguments));
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.add_trace(1, 1, true);
    let ended = waiting.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(ended.stdout.starts_with(&hex(1)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lens_that_does_not_answer_meets_no_expectation() {
    let mut command = testing::program(env!("CARGO_BIN_EXE_lens"));
    let ended =
        Process::run(command.args(["assert", "--none", "x", "--url", "http://127.0.0.1:1"])).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .starts_with("error: no lens answers at http://127.0.0.1:1:"),
        "{ended:?}"
    );

    let server = Server::start_with(64 << 20, &["--lens-token", "0123456789abcdef"]).await;
    let ended = run(&server, &["assert", "--none", "x"]).await;
    assert_eq!(ended.code, Some(2));
    let mut command = self::command(&server, &["assert", "--none", "x"]);
    let ended = Process::run(command.env("LENS_TOKEN", "0123456789abcdef")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// A lens that loads what an earlier run stored: the answers to the first `loading` requests are not complete.
async fn serve_loading(loading: usize) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let answer = async move |request: Request| {
        let is_loading = requests.fetch_add(1, Ordering::SeqCst) < loading;
        let headers = is_loading.then_some([("lens-loading", "2/8")]);
        let body = match (request.uri().path(), is_loading) {
            ("/api/export", true) => "{\"half\":1}\n",
            ("/api/export", false) => "{\"all\":1}\n",
            (_, true) => r#"{"count":0,"more":false,"loading":{"done":2,"total":8},"matches":[]}"#,
            (_, false) => r#"{"count":1,"more":false,"matches":[{"traceId":"0af7"}]}"#,
        };
        (headers, body).into_response()
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_waited_for() {
    for (arguments, loading, code, error) in [
        // The trace that matches is loaded last.
        (
            &["assert", "--none", "x"][..],
            2,
            1,
            "failed: 1 trace matches",
        ),
        (&["assert", "x"], 2, 0, "1 trace matches"),
        (&["wait", "x", "--within", "20s"], 2, 0, "1 trace matches"),
        (
            &["assert", "--none", "x", "--within", "300ms"],
            usize::MAX,
            1,
            "failed: lens has loaded 2 of 8 records that an earlier run stored; so far, 0 traces match",
        ),
        (&["export"], 2, 0, "waiting: lens loads"),
    ] {
        let url = serve_loading(loading).await;
        let mut command = testing::program(env!("CARGO_BIN_EXE_lens"));
        let ended = Process::run(command.args(arguments).env("LENS_URL", url)).await;
        assert_eq!(ended.code, Some(code), "{arguments:?} {ended:?}");
        assert!(ended.stderr.starts_with(error), "{arguments:?} {ended:?}");
        if arguments == ["export"] {
            assert_eq!(ended.stdout, "{\"all\":1}\n");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_may_begin_with_a_negated_term() {
    let server = Server::start().await;
    server.add_trace(1, 1, true);
    for (arguments, code) in [
        (&["-status:ok"][..], 0),
        (&["-status:error", "--none"], 0),
        (&["--none", "-status:error"], 0),
        (&["-http.route:/x", "--count", "1"], 0),
        (&["-status:eror"], 2),
    ] {
        let ended = run(&server, &[&["assert"], arguments].concat()).await;
        assert_eq!(ended.code, Some(code), "{arguments:?} {ended:?}");
        assert!(!ended.stderr.contains("unexpected argument"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_exported_and_imported() {
    let one = Server::start().await;
    one.add_trace(1, 700, false);
    one.add_logs(0..800, "number");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.jsonl");
    let file = file.to_str().unwrap();
    let ended = run(&one, &["export", "--output", file]).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));

    let other = Server::start().await;
    let ended = run(&other, &["import", file]).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(
        ended.stdout,
        format!(
            "{file}: spans: 700, data points: 0, log records: 800, rejected: 0, refused objects: 0\n"
        )
    );
    let printed = run(&other, &["export"]).await.stdout;
    assert_eq!(printed, std::fs::read_to_string(file).unwrap());

    std::fs::write(file, "{}\n").unwrap();
    let ended = run(&other, &["import", file]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .starts_with(&format!("{file}:1: not an export object")),
        "{ended:?}"
    );
    for unreadable in ["/nothing", "/"] {
        let ended = run(&other, &["import", unreadable]).await;
        assert_eq!(ended.code, Some(2));
        let start = format!("error: cannot read {unreadable}: ");
        assert!(ended.stderr.starts_with(&start), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_nothing_in_it_is_a_failure() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.jsonl");
    let file = file.to_str().unwrap();
    let good = folder.path().join("good.jsonl");
    std::fs::write(
        &good,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#,
    )
    .unwrap();
    let good = good.to_str().unwrap();
    for content in ["", "\n\n  \n", "{\"resourceSpans\":[]}\n"] {
        std::fs::write(file, content).unwrap();
        let ended = run(&server, &["import", file, good]).await;
        assert_eq!(ended.code, Some(1), "{content:?}");
        let message = format!("{file}: there is nothing in this file\n");
        assert_eq!(ended.stderr, message, "{content:?}");
        // The other file is taken.
        assert!(ended.stdout.contains("log records: 1"), "{ended:?}");
    }
    let ended = run(&server, &["import", "/dev/null", "--signal", "logs"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("nothing in this file"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_stored_already_are_not_counted_again() {
    let server = Server::start().await;
    server.add_trace(1, 3, false);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.jsonl");
    let file = file.to_str().unwrap();
    run(&server, &["export", "--output", file]).await;
    let ended = run(&server, &["import", file]).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(
        ended.stdout,
        format!(
            "{file}: spans: 0 (and 3 that were stored already), data points: 0, log records: 0, rejected: 0, \
             refused objects: 0\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_needs_its_signal() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("logs.binpb");
    let file = file.to_str().unwrap();
    // An export of one empty log record, with its length.
    let message = [0x0a, 4, 0x12, 2, 0x12, 0];
    std::fs::write(
        file,
        [&[0, 0, 0, 6], &message[..], &[0, 0, 0, 1, 7]].concat(),
    )
    .unwrap();
    let ended = run(&server, &["import", file]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let message = format!("{file}:1: the file is not JSON; if it has protobuf, name its signal");
    assert!(ended.stderr.starts_with(&message), "{ended:?}");
    let ended = run(&server, &["import", file, "--signal", "logs"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("log records: 1, rejected: 0"));
    let message = format!("{file}: message 2: ");
    assert!(ended.stderr.starts_with(&message), "{ended:?}");
}

#[tokio::test]
async fn help_names_the_commands() {
    let mut command = testing::program(env!("CARGO_BIN_EXE_lens"));
    let help = Process::run(command.arg("--help")).await;
    assert_eq!(help.code, Some(0));
    for name in ["health", "wait", "assert", "import", "export"] {
        assert!(
            help.stdout.contains(&format!("\n  {name} ")),
            "{}",
            help.stdout
        );
    }
    let mut command = testing::program(env!("CARGO_BIN_EXE_lens"));
    let help = Process::run(command.args(["assert", "--help"])).await;
    assert!(
        help.stdout.contains("Usage: lens assert"),
        "{}",
        help.stdout
    );
    assert!(help.stdout.contains("LENS_URL"), "{}", help.stdout);
}
