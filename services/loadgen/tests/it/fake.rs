//! A fake target that behaves like the frontend and auth, as far as the load generator can see.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Form, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use chassis::server::Contract;
use proto::auth::v1::{
    LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, MeRequest, MeResponse,
    RegisterRequest, RegisterResponse, Session,
    auth_service_server::{AuthService, AuthServiceServer},
};
use tokio::net::TcpListener;
use tonic::{Status, service::Routes};

/// The behavior of the target in requests for an account.
#[derive(Clone, Copy)]
pub(crate) enum Mood {
    /// Answers correctly.
    Well,
    /// Answers 503 or `UNAVAILABLE`.
    Down,
    /// Does not answer for a while: from this time after the first such request, for this long.
    Stalls(Duration, Duration),
}

pub(crate) struct Fake {
    mood: Mood,
    state: Mutex<Seen>,
}

/// The requests that the target has received.
#[derive(Default)]
pub(crate) struct Seen {
    accounts: HashMap<String, String>,
    sessions: HashSet<String>,
    serial: u64,
    first_me: Option<Instant>,
    /// Requests for an account.
    pub(crate) me: usize,
    /// Requests for an account at each address of the target.
    pub(crate) me_at: HashMap<SocketAddr, usize>,
    /// Requests for an account that had to wait.
    pub(crate) stalled: usize,
    /// Failed logins by email.
    pub(crate) failures: HashMap<String, usize>,
    /// Client addresses, in the order of the requests.
    pub(crate) addresses: HashSet<String>,
    /// The trace contexts of the requests that had one.
    pub(crate) traces: HashSet<String>,
}

#[derive(Clone, Copy)]
enum Refusal {
    Invalid,
    Refused,
    Taken,
    Down,
}

impl Fake {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood,
            state: Mutex::default(),
        })
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    fn register(&self, email: &str, password: &str) -> Result<String, Refusal> {
        if !email.contains('@') || password.len() < 8 {
            return Err(Refusal::Invalid);
        }
        self.seen(|seen| {
            if seen.accounts.contains_key(email) {
                return Err(Refusal::Taken);
            }
            seen.accounts.insert(email.to_owned(), password.to_owned());
            Ok(seen.open())
        })
    }

    fn login(&self, email: &str, password: &str, address: &str) -> Result<String, Refusal> {
        self.seen(|seen| {
            seen.addresses.insert(address.to_owned());
            if seen.accounts.get(email).map(String::as_str) == Some(password) {
                return Ok(seen.open());
            }
            *seen.failures.entry(email.to_owned()).or_default() += 1;
            Err(Refusal::Refused)
        })
    }

    async fn me(&self, token: &str, at: Option<SocketAddr>) -> Result<(), Refusal> {
        let first = self.seen(|seen| {
            seen.me += 1;
            *seen.me_at.entry(at.unwrap()).or_default() += 1;
            *seen.first_me.get_or_insert_with(Instant::now)
        });
        match self.mood {
            Mood::Well => {}
            Mood::Down => return Err(Refusal::Down),
            Mood::Stalls(after, length) => {
                let since = first.elapsed();
                if since >= after && since < after + length {
                    self.seen(|seen| seen.stalled += 1);
                    tokio::time::sleep(after + length - since).await;
                }
            }
        }
        if self.seen(|seen| seen.sessions.contains(token)) {
            Ok(())
        } else {
            Err(Refusal::Refused)
        }
    }

    fn logout(&self, token: &str) -> Result<(), Refusal> {
        if self.seen(|seen| seen.sessions.remove(token)) {
            Ok(())
        } else {
            Err(Refusal::Refused)
        }
    }

    /// Serves the protocol of the frontend.
    pub(crate) async fn frontend(self: &Arc<Self>) -> SocketAddr {
        let app = Router::new()
            .route("/health/ready", get(|| async { StatusCode::OK }))
            .route("/register", post(register))
            .route("/login", post(login))
            .route("/account", get(account))
            .route("/logout", post(logout))
            .with_state(Arc::clone(self));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    /// Serves the protocol of auth.
    pub(crate) async fn auth(self: &Arc<Self>) -> SocketAddr {
        let contract = Contract {
            service: "auth.v1.AuthService",
            methods: &[],
            descriptors: proto::DESCRIPTORS,
        };
        let routes = Routes::new(AuthServiceServer::new(Auth(Arc::clone(self))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(chassis::server::serve(
            contract,
            routes,
            listener,
            Duration::ZERO,
            std::future::pending(),
        ));
        address
    }
}

impl Seen {
    fn open(&mut self) -> String {
        self.serial += 1;
        let token = format!("header.payload.{:032x}", self.serial);
        self.sessions.insert(token.clone());
        token
    }

    fn trace(&mut self, context: Option<&str>) {
        self.traces.extend(context.map(str::to_owned));
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn token(headers: &HeaderMap) -> String {
    text(headers, "cookie")
        .and_then(|cookies| {
            cookies
                .split("; ")
                .find_map(|cookie| cookie.strip_prefix("session="))
        })
        .unwrap_or_default()
        .to_owned()
}

fn redirect(location: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

fn page(outcome: Result<String, Refusal>) -> Response {
    match outcome {
        Ok(token) => {
            let cookie = format!("session={token}; HttpOnly; SameSite=Lax; Path=/");
            let headers = [
                (header::LOCATION, "/account".to_owned()),
                (header::SET_COOKIE, cookie),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(Refusal::Invalid) => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        Err(Refusal::Refused) => StatusCode::UNAUTHORIZED.into_response(),
        Err(Refusal::Taken) => StatusCode::CONFLICT.into_response(),
        Err(Refusal::Down) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn register(
    State(fake): State<Arc<Fake>>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    page(fake.register(&form["email"], &form["password"]))
}

async fn login(
    State(fake): State<Arc<Fake>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    fake.seen(|seen| seen.trace(text(&headers, "traceparent")));
    let address = text(&headers, "x-forwarded-for").unwrap_or_default();
    page(fake.login(&form["email"], &form["password"], address))
}

async fn account(State(fake): State<Arc<Fake>>, headers: HeaderMap) -> Response {
    let host = text(&headers, "host").and_then(|host| host.parse().ok());
    match fake.me(&token(&headers), host).await {
        Ok(()) => "your account".into_response(),
        Err(Refusal::Down) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => redirect("/login"),
    }
}

async fn logout(State(fake): State<Arc<Fake>>, headers: HeaderMap) -> Response {
    match fake.logout(&token(&headers)) {
        Ok(()) => redirect("/"),
        Err(_) => redirect("/login"),
    }
}

struct Auth(Arc<Fake>);

fn session(token: String) -> Option<Session> {
    Some(Session {
        token,
        expires_at: None,
    })
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Invalid => Status::invalid_argument("a field is malformed"),
        Refusal::Refused => Status::unauthenticated("not known"),
        Refusal::Taken => Status::already_exists("the email is taken"),
        Refusal::Down => Status::unavailable("try again later"),
    }
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn register(
        &self,
        request: tonic::Request<RegisterRequest>,
    ) -> Result<tonic::Response<RegisterResponse>, Status> {
        let RegisterRequest {
            email, password, ..
        } = request.into_inner();
        let token = self.0.register(&email, &password).map_err(status)?;
        Ok(RegisterResponse {
            session: session(token),
            user: None,
        }
        .into())
    }

    async fn login(
        &self,
        request: tonic::Request<LoginRequest>,
    ) -> Result<tonic::Response<LoginResponse>, Status> {
        let context = request
            .metadata()
            .get("traceparent")
            .map(|value| value.to_str().unwrap());
        self.0.seen(|seen| seen.trace(context));
        let LoginRequest {
            email,
            password,
            client_address,
            ..
        } = request.into_inner();
        let token = self
            .0
            .login(&email, &password, &client_address)
            .map_err(status)?;
        Ok(LoginResponse {
            session: session(token),
            user: None,
        }
        .into())
    }

    async fn me(
        &self,
        request: tonic::Request<MeRequest>,
    ) -> Result<tonic::Response<MeResponse>, Status> {
        let at = request.local_addr();
        self.0
            .me(&request.into_inner().token, at)
            .await
            .map_err(status)?;
        Ok(MeResponse::default().into())
    }

    async fn logout(
        &self,
        request: tonic::Request<LogoutRequest>,
    ) -> Result<tonic::Response<LogoutResponse>, Status> {
        self.0.logout(&request.into_inner().token).map_err(status)?;
        Ok(LogoutResponse::default().into())
    }
}
