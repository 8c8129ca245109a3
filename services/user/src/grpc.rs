//! The gRPC service `user.v1.UserService`: converts requests to domain calls, and errors to
//! statuses.

use std::time::Duration;

use email::Email;
use proto::user::v1::{
    CreateUserRequest, CreateUserResponse, GetUserRequest, GetUserResponse, User as UserMessage,
    VerifyPasswordRequest, VerifyPasswordResponse, get_user_request,
    user_service_server::UserService,
};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{
    accounts::{Accounts, Key, User},
    error::Error,
    password::Password,
};

/// The implementation of the service.
#[derive(Debug)]
pub(crate) struct Grpc {
    accounts: Accounts,
}

impl Grpc {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self { accounts }
    }

    async fn create(&self, request: CreateUserRequest) -> Result<User, Error> {
        let mut fields = Fields::default();
        let email = fields.check("email", Email::parse(&request.email));
        let password = fields.check("password", Password::parse(request.password));
        let id = match request.user_id.as_str() {
            "" => Some(None),
            id => fields.check("user_id", uuid(id)).map(Some),
        };
        let (Some(email), Some(password), Some(id)) = (email, password, id) else {
            return Err(fields.into());
        };
        self.accounts.create(id, email, password).await
    }

    async fn get(&self, request: GetUserRequest) -> Result<User, Error> {
        let mut fields = Fields::default();
        let key = match request.key {
            Some(get_user_request::Key::Id(id)) => fields.check("id", uuid(&id)).map(Key::Id),
            Some(get_user_request::Key::Email(email)) => {
                fields.check("email", Email::parse(&email)).map(Key::Email)
            }
            None => fields.check("key", Err("must be set".to_owned())),
        };
        let Some(key) = key else {
            return Err(fields.into());
        };
        self.accounts.get(key).await
    }

    async fn verify(&self, request: VerifyPasswordRequest) -> Result<User, Error> {
        let mut fields = Fields::default();
        let email = fields.check("email", Email::parse(&request.email));
        let password = fields.check("password", Password::parse_attempt(request.password));
        let (Some(email), Some(password)) = (email, password) else {
            return Err(fields.into());
        };
        self.accounts.verify(&email, password).await
    }
}

#[tonic::async_trait]
impl UserService for Grpc {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let user = self.create(request.into_inner()).await.map_err(status)?;
        Ok(Response::new(CreateUserResponse {
            user: Some(user.into()),
        }))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let user = self.get(request.into_inner()).await.map_err(status)?;
        Ok(Response::new(GetUserResponse {
            user: Some(user.into()),
        }))
    }

    async fn verify_password(
        &self,
        request: Request<VerifyPasswordRequest>,
    ) -> Result<Response<VerifyPasswordResponse>, Status> {
        let user = self.verify(request.into_inner()).await.map_err(status)?;
        Ok(Response::new(VerifyPasswordResponse {
            user: Some(user.into()),
        }))
    }
}

impl From<User> for UserMessage {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            created_at: Some(user.created_at.into()),
        }
    }
}

fn uuid(text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text).map_err(|error| format!("is not a UUID: {error}"))
}

/// Collects the errors of all fields, so that the user sees all of them at once.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn check<T>(&mut self, field: &'static str, outcome: Result<T, String>) -> Option<T> {
        outcome
            .map_err(|description| self.0.push((field, description)))
            .ok()
    }
}

impl From<Fields> for Error {
    fn from(fields: Fields) -> Self {
        Self::Invalid(fields.0)
    }
}

/// Converts an error to a status. Only this function does so. It logs the causes that the client
/// must not see.
fn status(error: Error) -> Status {
    match error {
        Error::Invalid(fields) => chassis::status::invalid(fields),
        Error::NotFound => Status::not_found("no such user"),
        Error::EmailTaken => Status::already_exists("the email is taken"),
        Error::WrongCredentials => Status::unauthenticated("wrong email or password"),
        Error::Overloaded => {
            tracing::warn!("a password was refused, because the hash queue is full");
            chassis::status::retry_later(
                Code::ResourceExhausted,
                "too many requests",
                Duration::from_secs(1),
            )
        }
        Error::Busy => {
            tracing::warn!("the database is busy");
            Status::unavailable("the database is busy")
        }
        Error::Store(_) | Error::Hash(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "request failed");
            chassis::status::internal()
        }
    }
}
