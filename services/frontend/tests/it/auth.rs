//! A fake auth service. The email, the password or the token of a call chooses the answer.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use proto::{
    auth::v1::{
        LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, MeRequest, MeResponse,
        RegisterRequest, RegisterResponse, Session,
        auth_service_server::{AuthService, AuthServiceServer},
    },
    user::v1::User,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

/// The password that is accepted.
pub(crate) const PASSWORD: &str = "correct horse";

/// The token that is accepted.
pub(crate) const TOKEN: &str = "head.body.signature";

/// The calls that the fake received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    calls: Arc<Mutex<Vec<String>>>,
    metadata: Arc<Mutex<MetadataMap>>,
}

impl Asked {
    /// The calls until now, as `method argument`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Notes a call that may replace a session.
    fn note_entry(&self, method: &str, address: &str, replaced: &str) {
        match replaced {
            "" => self.note(method, address),
            token => self.note(method, &format!("{address} instead of {token}")),
        }
    }

    /// A field of the metadata of the last `me`.
    pub(crate) fn received(&self, name: &str) -> Option<String> {
        let metadata = self.metadata.lock().unwrap();
        let value = metadata.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    fn note(&self, method: &str, argument: &str) {
        self.calls
            .lock()
            .unwrap()
            .push(format!("{method} {argument}"));
    }
}

/// Starts the service on a free port.
pub(crate) async fn start() -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    let server = tonic::transport::Server::builder()
        .add_service(AuthServiceServer::new(Fake(asked.clone())))
        .add_service(health_service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    (address, asked)
}

struct Fake(Asked);

/// The failures that an email or a token can choose.
async fn fail(wish: &str) -> Result<(), Status> {
    match wish.split('@').next().unwrap_or_default() {
        "busy" => Err(chassis::status::retry_later(
            Code::ResourceExhausted,
            "too many attempts",
            Duration::from_millis(89_500),
        )),
        "down" => Err(Status::unavailable("the user service does not answer")),
        "bug" => Err(Status::internal("a secret detail")),
        "odd" => Err(Status::unimplemented("a secret detail")),
        "hang" => std::future::pending().await,
        "slow" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check(email: &str, password: &str, register: bool) -> Result<(), Status> {
    let mut violations = Vec::new();
    if !email.contains('@') {
        violations.push((
            "email",
            "must be an address such as name@example.org".to_owned(),
        ));
    }
    if password.is_empty() || register && password.chars().count() < 8 {
        violations.push(("password", "must have 8 to 128 characters".to_owned()));
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(chassis::status::invalid(violations))
    }
}

fn session(email: &str) -> Option<Session> {
    let token = match email.split('@').next() {
        Some("nosession") => return None,
        Some("badtoken") => "a; Domain=evil.example",
        _ => TOKEN,
    };
    Some(Session {
        token: token.to_owned(),
        expires_at: Some((SystemTime::now() + Duration::from_secs(86_400)).into()),
    })
}

fn user(email: &str) -> Option<User> {
    Some(User {
        id: "01980b5c-7f00-7000-8000-000000000001".to_owned(),
        email: email.to_owned(),
        created_at: Some((SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)).into()),
    })
}

#[tonic::async_trait]
impl AuthService for Fake {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let RegisterRequest {
            email,
            password,
            client_address,
            replaced_token,
        } = request.into_inner();
        self.0
            .note_entry("register", &client_address, &replaced_token);
        check(&email, &password, true)?;
        if email.starts_with("taken@") {
            return Err(Status::already_exists("the email is taken"));
        }
        fail(&email).await?;
        Ok(Response::new(RegisterResponse {
            session: session(&email),
            user: user(&email),
        }))
    }

    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let LoginRequest {
            email,
            password,
            client_address,
            replaced_token,
        } = request.into_inner();
        self.0.note_entry("login", &client_address, &replaced_token);
        check(&email, &password, false)?;
        fail(&email).await?;
        if password != PASSWORD {
            return Err(Status::unauthenticated("wrong email or password"));
        }
        Ok(Response::new(LoginResponse {
            session: session(&email),
            user: user(&email),
        }))
    }

    async fn me(&self, request: Request<MeRequest>) -> Result<Response<MeResponse>, Status> {
        *self.0.metadata.lock().unwrap() = request.metadata().clone();
        let MeRequest { token } = request.into_inner();
        self.0.note("me", &token);
        fail(&token).await?;
        if token != TOKEN {
            return Err(Status::unauthenticated("the token is expired"));
        }
        Ok(Response::new(MeResponse {
            user: user("ada@example.org"),
            expires_at: Some((SystemTime::now() + Duration::from_secs(86_400)).into()),
        }))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        let LogoutRequest { token } = request.into_inner();
        self.0.note("logout", &token);
        fail(&token).await?;
        if token != TOKEN {
            return Err(Status::unauthenticated("the token is expired"));
        }
        Ok(Response::new(LogoutResponse {}))
    }
}
