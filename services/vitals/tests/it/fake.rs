//! A fake supervisor with the answers of process-compose that vitals requests.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{self, Path},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};
use testing::{eventually, program};
use tokio::net::TcpListener;

/// The behavior of the fake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// Lists its processes.
    Tell,
    /// Answers with an error.
    Fail,
    /// Answers with HTML.
    Babble,
    /// Never answers.
    Hang,
}

/// The version of process-compose. Since 1.110, it spells some fields of a process differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    V1_103,
    V1_116,
}

/// The fake supervisor. It ends with the runtime of its test.
pub(crate) struct Fake {
    pub(crate) port: u16,
    said: Said,
}

type Said = Arc<Mutex<State>>;

#[derive(Clone)]
struct State {
    answer: Answer,
    version: Version,
    processes: BTreeMap<String, Value>,
    /// The number of requests for its processes.
    asked: u32,
}

impl Fake {
    /// Starts a supervisor without processes.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Arc::new(Mutex::new(State {
            answer: Answer::Tell,
            version: Version::V1_116,
            processes: BTreeMap::new(),
            asked: 0,
        }));
        let uptime = async || Json(json!({"upTime": 60_000_000_000_u64, "version": "v1.103.0"}));
        let router = Router::new()
            .route("/processes", get(processes))
            .route("/project/state", get(uptime))
            .route("/process/info/{name}", get(info))
            .with_state(Arc::clone(&said));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, said }
    }

    /// Changes the behavior.
    pub(crate) fn answer(&self, answer: Answer) {
        self.said.lock().unwrap().answer = answer;
    }

    /// Changes the version.
    pub(crate) fn is(&self, version: Version) {
        self.said.lock().unwrap().version = version;
    }

    /// Adds or replaces a process. It is running and ready, except for the given fields.
    pub(crate) fn has(&self, name: &str, fields: &Value) {
        let mut process = json!({
            "name": name, "namespace": "services", "status": "Running", "system_time": "4s",
            "age": 4_500_000_000_u64, "is_ready": "Ready", "has_ready_probe": true,
            "restarts": 0, "exit_code": 0, "pid": i32::MAX, "is_elevated": false,
            "password_provided": false, "mem": 21_811_200, "cpu": 2.5, "is_running": true
        });
        for (field, value) in fields.as_object().unwrap() {
            process[field] = value.clone();
        }
        let mut said = self.said.lock().unwrap();
        said.processes.insert(name.to_owned(), process);
    }

    /// Waits for two requests for the processes. By then, the requests between them are answered.
    pub(crate) async fn asked(&self) {
        eventually("the supervisor is asked", async || {
            (self.said.lock().unwrap().asked > 1).then_some(())
        })
        .await;
    }

    /// The program with this supervisor, on a free port.
    pub(crate) fn vitals(&self) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_vitals"));
        command
            .env("PORT", "0")
            .env("SUPERVISOR_PORT", self.port.to_string());
        command
    }
}

async fn processes(extract::State(said): extract::State<Said>) -> Response {
    let state = {
        let mut said = said.lock().unwrap();
        said.asked += 1;
        said.clone()
    };
    match state.answer {
        Answer::Tell => {
            let processes: Vec<_> = state.processes.into_values().collect();
            Json(json!({"data": processes})).into_response()
        }
        Answer::Fail => (StatusCode::BAD_REQUEST, "no").into_response(),
        Answer::Babble => "<!doctype html>".into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

async fn info(extract::State(said): extract::State<Said>, Path(name): Path<String>) -> Json<Value> {
    let log = match name.as_str() {
        "silent" => String::new(),
        _ => format!("volumes/logs/{name}.log"),
    };
    let version = said.lock().unwrap().version;
    Json(match version {
        Version::V1_103 => json!({"Name": name, "LogLocation": log}),
        Version::V1_116 => json!({"name": name, "logLocation": log}),
    })
}
