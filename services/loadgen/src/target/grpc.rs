//! A client of auth that makes the same calls as the frontend.

use std::{error::Error as _, net::Ipv4Addr};

use chassis::client::{Addresses, Channel};
use proto::auth::v1::{
    LoginRequest, LogoutRequest, MeRequest, RegisterRequest, Session,
    auth_service_client::AuthServiceClient,
};
use telemetry::grpc::code_name;
use tonic::{Code, ConnectError, Status};

use super::{Kind, Reply, Request};
use crate::journey::Verdict;

/// The methods that this client calls, for telemetry.
const METHODS: &[&str] = &[
    "auth.v1.AuthService/Register",
    "auth.v1.AuthService/Login",
    "auth.v1.AuthService/Me",
    "auth.v1.AuthService/Logout",
];

#[derive(Clone, Debug)]
pub(super) struct Auth {
    client: AuthServiceClient<Channel>,
    address: Addresses,
}

/// A successful answer.
enum Opened {
    /// The answer to a call that opens a session.
    Session(Option<Session>),
    /// The answer to another call.
    Nothing,
}

impl Auth {
    pub(super) fn new(address: &Addresses) -> Self {
        Self {
            address: address.clone(),
            client: AuthServiceClient::new(Channel::new(address, METHODS)),
        }
    }

    pub(super) async fn is_ready(&self) -> bool {
        for url in self.address.instances().await {
            if chassis::health::check(&url, "").await.is_err() {
                return false;
            }
        }
        true
    }

    pub(super) async fn send(&self, request: Request<'_>, from: Ipv4Addr) -> Reply {
        let mut client = self.client.clone();
        let outcome = match request {
            Request::Register { email, password } => {
                let message = RegisterRequest {
                    email: email.to_owned(),
                    password: password.to_owned(),
                    client_address: from.to_string(),
                    ..RegisterRequest::default()
                };
                let answer = client.register(message).await;
                answer.map(|answer| Opened::Session(answer.into_inner().session))
            }
            Request::Login { email, password } => {
                let message = LoginRequest {
                    email: email.to_owned(),
                    password: password.to_owned(),
                    client_address: from.to_string(),
                    ..LoginRequest::default()
                };
                let answer = client.login(message).await;
                answer.map(|answer| Opened::Session(answer.into_inner().session))
            }
            Request::Me { token } => {
                let answer = client
                    .me(MeRequest {
                        token: token.to_owned(),
                    })
                    .await;
                answer.map(|_| Opened::Nothing)
            }
            Request::Logout { token } => {
                let answer = client
                    .logout(LogoutRequest {
                        token: token.to_owned(),
                    })
                    .await;
                answer.map(|_| Opened::Nothing)
            }
        };
        judge(outcome)
    }
}

fn judge(outcome: Result<Opened, Status>) -> Reply {
    match outcome {
        Ok(Opened::Session(None)) => Kind::Answer("grpc OK without a session".into()).into(),
        Ok(Opened::Session(Some(session))) => Reply {
            verdict: Verdict::Accepted,
            kind: Kind::Answer("grpc OK".into()),
            token: Some(session.token),
        },
        Ok(Opened::Nothing) => Reply {
            verdict: Verdict::Accepted,
            kind: Kind::Answer("grpc OK".into()),
            token: None,
        },
        // A status with a source comes from the client, and not from the target.
        Err(status) if status.source().is_some() => local(&status).into(),
        Err(status) => Reply {
            verdict: match status.code() {
                Code::InvalidArgument => Verdict::Invalid,
                Code::Unauthenticated => Verdict::Refused,
                Code::AlreadyExists => Verdict::Taken,
                _ => Verdict::Other,
            },
            kind: Kind::Answer(format!("grpc {}", code_name(status.code())).into()),
            token: None,
        },
    }
}

fn local(status: &Status) -> Kind {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return Kind::Connect;
        }
        cause = error.source();
    }
    Kind::Transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_verdict() {
        for (code, meaning) in [
            (Code::InvalidArgument, Verdict::Invalid),
            (Code::Unauthenticated, Verdict::Refused),
            (Code::AlreadyExists, Verdict::Taken),
            (Code::ResourceExhausted, Verdict::Other),
            (Code::Unavailable, Verdict::Other),
            (Code::Internal, Verdict::Other),
        ] {
            let reply = judge(Err(Status::new(code, "text of the target's choice")));
            assert_eq!(reply.verdict, meaning);
            assert_eq!(reply.kind.to_string(), format!("grpc {}", code_name(code)));
        }
    }

    #[test]
    fn success_without_a_session_is_unexpected() {
        let reply = judge(Ok(Opened::Session(None)));
        assert_eq!(reply.verdict, Verdict::Other);
        assert_eq!(reply.kind.to_string(), "grpc OK without a session");
    }

    #[tokio::test]
    async fn a_refused_connection_is_reported_as_connect() {
        let auth = Auth::new(&"127.0.0.1:1".parse().unwrap());
        let reply = auth
            .send(Request::Me { token: "t" }, Ipv4Addr::LOCALHOST)
            .await;
        assert_eq!(reply.kind, Kind::Connect);
    }
}
