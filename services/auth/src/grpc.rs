//! The gRPC service `auth.v1.AuthService`: converts requests to domain calls, and errors to
//! statuses.

use std::{
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use proto::auth::v1::{
    LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, MeRequest, MeResponse,
    RegisterRequest, RegisterResponse, Session, auth_service_server::AuthService,
};
use tonic::{Code, Request, Response, Status};

use crate::{
    error::Error,
    sessions::{Opened, Sessions},
};

/// The implementation of the service.
pub(crate) struct Grpc {
    sessions: Sessions,
}

impl Grpc {
    pub(crate) fn new(sessions: Sessions) -> Self {
        Self { sessions }
    }
}

#[tonic::async_trait]
impl AuthService for Grpc {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let said = &request.get_ref().client_address;
        let address = client_address(said, request.remote_addr()).map_err(status)?;
        let RegisterRequest {
            email,
            password,
            replaced_token,
            ..
        } = request.into_inner();
        let opened = self
            .sessions
            .register(email, password, address, &replaced_token)
            .await
            .map_err(status)?;
        Ok(Response::new(RegisterResponse {
            session: Some(session(opened.token, opened.expires_at)),
            user: Some(opened.user),
        }))
    }

    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let said = &request.get_ref().client_address;
        let address = client_address(said, request.remote_addr()).map_err(status)?;
        let LoginRequest {
            email,
            password,
            replaced_token,
            ..
        } = request.into_inner();
        let Opened {
            token,
            expires_at,
            user,
        } = self
            .sessions
            .login(email, password, address, &replaced_token)
            .await
            .map_err(status)?;
        Ok(Response::new(LoginResponse {
            session: Some(session(token, expires_at)),
            user: Some(user),
        }))
    }

    async fn me(&self, request: Request<MeRequest>) -> Result<Response<MeResponse>, Status> {
        let MeRequest { token } = request.into_inner();
        let (user, expires_at) = self.sessions.me(&token).await.map_err(status)?;
        Ok(Response::new(MeResponse {
            user: Some(user),
            expires_at: Some(expires_at.into()),
        }))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        let LogoutRequest { token } = request.into_inner();
        self.sessions.logout(&token).await.map_err(status)?;
        Ok(Response::new(LogoutResponse {}))
    }
}

fn session(token: String, expires_at: SystemTime) -> Session {
    Session {
        token,
        expires_at: Some(expires_at.into()),
    }
}

/// The user's address: the one in the request, or else the caller's own address.
fn client_address(said: &str, peer: Option<SocketAddr>) -> Result<Option<IpAddr>, Error> {
    match said {
        "" => Ok(peer.map(|address| address.ip())),
        text => text.parse().map(Some).map_err(|error| {
            Error::Invalid(vec![("client_address".to_owned(), format!("{error}"))])
        }),
    }
}

/// Converts an error to a status. Only this function does so. It logs the causes that the client
/// must not see.
fn status(error: Error) -> Status {
    match error {
        Error::Invalid(fields) => chassis::status::invalid(
            fields
                .iter()
                .map(|(field, description)| (field.as_str(), description.clone())),
        ),
        Error::EmailTaken => Status::already_exists("the email is taken"),
        Error::WrongCredentials => {
            tracing::info!(reason = "wrong email or password", "sign-in failed");
            Status::unauthenticated("wrong email or password")
        }
        Error::InvalidSession(reason) => {
            tracing::info!(reason, "session refused");
            Status::unauthenticated("the session is not valid")
        }
        Error::TooMany {
            scope,
            address,
            delay,
        } => {
            tracing::warn!(
                auth.limit.scope = scope.name(),
                client.address = address.map(tracing::field::display),
                delay_ms = delay.as_millis() as u64,
                "too many attempts"
            );
            chassis::status::retry_later(Code::ResourceExhausted, "too many attempts", delay)
        }
        Error::UsersBusy(delay) => {
            tracing::warn!(
                delay_ms = delay.as_millis() as u64,
                "the user service is overloaded"
            );
            chassis::status::retry_later(
                Code::ResourceExhausted,
                "the user service is overloaded",
                delay,
            )
        }
        Error::UsersUnavailable(reason) => {
            tracing::error!(reason, "the user service does not answer");
            // It was retried here. If the callers of this service retried it too, attempts would multiply.
            let status = Status::unavailable("the user service does not answer");
            chassis::status::do_not_retry(status)
        }
        Error::Busy => {
            tracing::warn!("the database is busy");
            Status::unavailable("the database is busy")
        }
        Error::Users(_) | Error::Store(_) | Error::Sign(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "request failed");
            chassis::status::internal()
        }
    }
}
