//! Answers of process-compose 1.103.

use serde_json::{Value, json};

use super::*;

fn read(fields: &Value) -> Option<Process> {
    let mut process = json!({
        "name": "auth", "namespace": "services", "status": "Running", "system_time": "4s",
        "age": 4_842_975_390_u64, "is_ready": "Ready", "has_ready_probe": true, "restarts": 0,
        "exit_code": 0, "pid": 6471, "is_elevated": false, "password_provided": false,
        "mem": 21_811_200, "cpu": 2.366_764_496_124_053, "is_running": true
    });
    for (name, value) in fields.as_object().unwrap() {
        process[name] = value.clone();
    }
    serde_json::from_value::<wire::Process>(process)
        .unwrap()
        .supervised()
}

#[test]
fn a_running_process_is_ready() {
    let expected = Process {
        name: "auth".to_owned(),
        namespace: "services".to_owned(),
        status: "Running".to_owned(),
        running: Some(Running {
            pid: 6471,
            memory: Some(21_811_200),
        }),
        ready: Some(true),
        restarts: 0,
        exit_code: None,
        age: Duration::from_nanos(4_842_975_390),
    };
    assert!(expected.is_settled() && !expected.is_over());
    assert_eq!(read(&json!({})), Some(expected));
}

#[test]
fn an_ended_process_is_not_ready_whatever_its_probe_said_last() {
    let process = read(&json!({
        "status": "Completed", "is_running": false, "exit_code": -1, "mem": -1
    }));
    let process = process.unwrap();
    assert_eq!(process.running, None);
    assert_eq!((process.ready, process.exit_code), (Some(false), Some(-1)));
    assert!(process.is_over() && !process.is_settled());
}

#[test]
fn a_process_without_a_probe_is_settled_after_exit_code_0() {
    let once = |status: &str, is_running: bool, exit_code: i32| {
        read(&json!({
            "status": status, "is_running": is_running, "exit_code": exit_code,
            "is_ready": "-", "has_ready_probe": false
        }))
        .unwrap()
    };
    assert!(once("Completed", false, 0).is_settled());
    for process in [
        once("Running", true, 0),
        once("Pending", false, 0),
        once("Restarting", false, 0),
        once("Completed", false, 2),
    ] {
        assert!(!process.is_settled(), "{process:?}");
    }
}

#[test]
fn an_exit_code_needs_an_end() {
    for (fields, expected) in [
        (json!({}), None),
        (json!({"status": "Pending", "is_running": false}), None),
        (
            json!({"status": "Skipped", "is_running": false, "exit_code": 1}),
            None,
        ),
        (json!({"restarts": 2}), Some(0)),
        (
            json!({"status": "Restarting", "is_running": false, "exit_code": 3, "restarts": 1}),
            Some(3),
        ),
        (json!({"exit_code": 143}), Some(143)),
    ] {
        assert_eq!(read(&fields).unwrap().exit_code, expected, "{fields}");
    }
}

#[test]
fn a_process_that_should_not_run_is_left_out() {
    for status in ["Disabled", "Foreground"] {
        assert_eq!(
            read(&json!({"status": status, "is_running": false})),
            None,
            "{status}"
        );
    }
}
