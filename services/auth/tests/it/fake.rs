//! A fake user service with scripted answers.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use proto::user::v1::{
    CreateUserRequest, CreateUserResponse, GetUserRequest, GetUserResponse, User,
    VerifyPasswordRequest, VerifyPasswordResponse,
    user_service_server::{UserService, UserServiceServer},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

/// The id of its only account.
pub(crate) const USER_ID: &str = "0190a6a8-3f5c-7c3a-8f6e-0123456789ab";

/// The answer to the nth call, counted from 0. `None` means that the call never ends.
type Script = dyn Fn(usize) -> Option<Result<(), Status>> + Send + Sync;

/// A fake that counts the calls of all methods.
#[derive(Clone)]
pub(crate) struct Fake {
    calls: Arc<AtomicUsize>,
    /// The metadata of the last call.
    metadata: Arc<Mutex<MetadataMap>>,
    /// Whether answers are held back.
    held: Arc<watch::Sender<bool>>,
    script: Arc<Script>,
}

impl Fake {
    pub(crate) fn new(
        script: impl Fn(usize) -> Option<Result<(), Status>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            calls: Arc::default(),
            metadata: Arc::default(),
            held: Arc::default(),
            script: Arc::new(script),
        }
    }

    /// A fake that answers each call with `status`.
    pub(crate) fn failing(status: Status) -> Self {
        Self::new(move |_| Some(Err(status.clone())))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Holds back all answers, or releases them.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// A field of the metadata of the last call.
    pub(crate) fn received(&self, name: &str) -> Option<String> {
        let metadata = self.metadata.lock().unwrap();
        let value = metadata.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// Serves on a free port.
    pub(crate) async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(self.clone().serve(listener));
        address
    }

    pub(crate) async fn serve(self, listener: TcpListener) {
        Server::builder()
            .add_service(UserServiceServer::new(self))
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    }

    async fn answer<T: Sync>(&self, request: &Request<T>) -> Result<Option<User>, Status> {
        *self.metadata.lock().unwrap() = request.metadata().clone();
        let index = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut held = self.held.subscribe();
        held.wait_for(|held| !*held).await.unwrap();
        match (self.script)(index) {
            Some(outcome) => outcome.map(|()| {
                Some(User {
                    id: USER_ID.to_owned(),
                    email: "ann@example.com".to_owned(),
                    created_at: None,
                })
            }),
            None => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl UserService for Fake {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let user = self.answer(&request).await?;
        Ok(Response::new(CreateUserResponse { user }))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let user = self.answer(&request).await?;
        Ok(Response::new(GetUserResponse { user }))
    }

    async fn verify_password(
        &self,
        request: Request<VerifyPasswordRequest>,
    ) -> Result<Response<VerifyPasswordResponse>, Status> {
        let user = self.answer(&request).await?;
        Ok(Response::new(VerifyPasswordResponse { user }))
    }
}
