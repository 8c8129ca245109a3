//! The client of the user service.

use std::time::Duration;

use chassis::client::{Addresses, Channel};
use proto::user::v1::{
    CreateUserRequest, GetUserRequest, User, VerifyPasswordRequest, get_user_request::Key,
    user_service_client::UserServiceClient,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::error::Error;

/// Deadline of a read, with all retries.
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// Deadline of a call that hashes a password, with all retries. It is shorter than the deadline of
/// this service's callers, so that they get the reason.
const HASH_DEADLINE: Duration = Duration::from_secs(4);

/// A client of the user service.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    channel: Channel,
    client: UserServiceClient<Channel>,
}

impl Users {
    pub(crate) fn connect(addresses: &Addresses) -> Self {
        let channel = Channel::new(addresses, proto::METHODS);
        Self {
            client: UserServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// Creates an account. The caller chooses the id, so the call is idempotent.
    pub(crate) async fn create(&self, email: String, password: String) -> Result<User, Error> {
        let message = CreateUserRequest {
            email,
            password,
            user_id: Uuid::now_v7().to_string(),
        };
        let answer = self.channel.retry(HASH_DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let request = attempt.request(message.clone());
            async move { client.create_user(request).await }
        });
        present(answer.await.map_err(error)?.into_inner().user)
    }

    /// Reads an account. `None` if no account has the id.
    pub(crate) async fn get(&self, id: Uuid) -> Result<Option<User>, Error> {
        let message = GetUserRequest {
            key: Some(Key::Id(id.to_string())),
        };
        let answer = self.channel.retry(READ_DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let request = attempt.request(message.clone());
            async move { client.get_user(request).await }
        });
        match answer.await {
            Ok(response) => present(response.into_inner().user).map(Some),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(error(status)),
        }
    }

    /// Verifies a password, and returns the account.
    pub(crate) async fn verify(&self, email: String, password: String) -> Result<User, Error> {
        let message = VerifyPasswordRequest { email, password };
        let answer = self.channel.retry(HASH_DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let request = attempt.request(message.clone());
            async move { client.verify_password(request).await }
        });
        present(answer.await.map_err(error)?.into_inner().user)
    }
}

fn present(user: Option<User>) -> Result<User, Error> {
    user.ok_or_else(|| Error::Users(Box::new(Status::internal("the answer has no user"))))
}

fn error(status: Status) -> Error {
    match status.code() {
        Code::InvalidArgument => {
            let details = status.get_error_details();
            let violations = details
                .bad_request()
                .map(|bad| bad.field_violations.clone())
                .unwrap_or_default();
            Error::Invalid(
                violations
                    .into_iter()
                    .map(|violation| (violation.field, violation.description))
                    .collect(),
            )
        }
        Code::AlreadyExists => Error::EmailTaken,
        Code::Unauthenticated => Error::WrongCredentials,
        Code::ResourceExhausted => {
            let details = status.get_error_details();
            let delay = details.retry_info().and_then(|info| info.retry_delay);
            Error::UsersBusy(delay.unwrap_or(Duration::from_secs(1)))
        }
        Code::Unavailable => Error::UsersUnavailable(status.message().to_owned()),
        _ => Error::Users(Box::new(status)),
    }
}
