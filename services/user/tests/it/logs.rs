//! The log records of the process, and their traces.

use testing::Process;
use tonic::{
    Code, Request,
    metadata::{MetadataValue, errors::InvalidMetadataValueBytes},
};

use crate::harness::{Client, PASSWORD, binary, by_email, cheap_binary, client, create, verify};

/// Creates an account with the trace context in these headers. Returns its id.
async fn create_in(client: &Client, email: &str, headers: &[(&'static str, &[u8])]) -> String {
    let mut request = Request::new(create(email, PASSWORD));
    for (name, value) in headers {
        let value: Result<MetadataValue<_>, InvalidMetadataValueBytes> =
            MetadataValue::try_from(*value);
        request.metadata_mut().append(*name, value.unwrap());
    }
    let answer = client.clone().create_user(request).await.unwrap();
    answer.into_inner().user.unwrap().id
}

fn is_id(text: &str, length: usize) -> bool {
    text.len() == length
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte != b'0')
}

#[tokio::test]
async fn log_records_are_json_with_trace_ids_and_without_emails() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = cheap_binary(folder.path());
    let mut process = Process::start(command.env("RUST_LOG", "debug"));
    let mut client = client(process.address().await);

    let wrong = "quite another password";
    create_in(&client, "ann@example.com", &[]).await;
    let taken = client.create_user(create("ann@example.com", wrong)).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    let refused = client
        .verify_password(verify("ann@example.com", wrong))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    client
        .verify_password(verify("ann@example.com", PASSWORD))
        .await
        .unwrap();
    client.get_user(by_email("ann@example.com")).await.unwrap();
    let missing = client.get_user(by_email("bob@example.com")).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    let invalid = client.create_user(create("not-an-email", "short")).await;
    assert_eq!(invalid.unwrap_err().code(), Code::InvalidArgument);

    drop(client);
    process.terminate();
    process.logged("message", "stopping").await;
    let records = process.log();
    let ended = process.ended().await;
    assert_eq!(ended.stderr, "");

    for record in &records {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(record[field].is_string(), "{record} lacks {field}");
        }
        let inside = record["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("user::") && target != "user::main");
        if inside {
            assert!(is_id(record["trace_id"].as_str().unwrap(), 32), "{record}");
            assert!(is_id(record["span_id"].as_str().unwrap(), 16), "{record}");
        }
    }
    assert!(
        records
            .iter()
            .any(|record| record["message"] == "user created" && record["trace_id"].is_string()),
        "{records:?}"
    );
    for secret in [
        "ann@example.com",
        "bob@example.com",
        "example.com",
        "not-an-email",
        PASSWORD,
        wrong,
        "argon2",
    ] {
        assert!(!ended.stdout.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn the_costs_of_a_hash_and_the_limits_are_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path());
    command.args(["--hash-memory=6144", "--hash-iterations=3"]);
    command.args(["--hash-concurrency=5", "--hash-queue=7"]);
    let mut process = Process::start(&mut command);
    process.address().await;
    let mut records = process.log();
    records.retain(|record| record["message"] == "hashing passwords with Argon2id");
    assert_eq!(records.len(), 1, "{records:?}");
    let fields = [
        "memory_mib",
        "iterations",
        "parallelism",
        "concurrency",
        "queue",
    ];
    let values = fields.map(|field| records[0][field].as_f64());
    assert_eq!(values, [6.0, 3.0, 1.0, 5.0, 7.0].map(Some), "{records:?}");
}

#[tokio::test]
async fn the_trace_of_the_caller_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let client = client(process.address().await);
    for (index, flags) in ["00", "01"].into_iter().enumerate() {
        let trace_id = format!("0af7651916cd43dd8448eb211c80319{index}");
        let parent = format!("00-{trace_id}-b7ad6b7169203331-{flags}");
        let id = create_in(
            &client,
            &format!("{index}@example.com"),
            &[
                ("traceparent", parent.as_bytes()),
                ("tracestate", b"vendor=value"),
                ("baggage", b"key=value"),
            ],
        )
        .await;
        let record = process.logged("user.id", &id).await;
        assert_eq!(record["trace_id"], trace_id);
        // Without an endpoint the service makes no spans, so the caller's span is the current one.
        assert_eq!(record["span_id"], "b7ad6b7169203331");
    }
}

#[tokio::test]
async fn malformed_context_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let client = client(process.address().await);
    let long = "k=v,".repeat(1000);
    let headers: [(&str, &[u8]); 10] = [
        ("traceparent", b""),
        ("traceparent", b"00"),
        (
            "traceparent",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ),
        (
            "traceparent",
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ),
        (
            "traceparent",
            b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ),
        (
            "traceparent",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("traceparent", b"\xff\xfe"),
        ("baggage", b"=,;;%%%,a==b,\xff"),
        ("baggage", long.as_bytes()),
        ("tracestate", b"=,=,\xff"),
    ];
    for (index, header) in headers.into_iter().enumerate() {
        let id = create_in(&client, &format!("{index}@example.com"), &[header]).await;
        let record = process.logged("user.id", &id).await;
        let trace_id = record["trace_id"].as_str().unwrap();
        assert!(is_id(trace_id, 32), "{header:?}: {record}");
        assert_ne!(trace_id, "0af7651916cd43dd8448eb211c80319c", "{header:?}");
    }
}
