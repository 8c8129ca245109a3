//! The three services as separate processes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use proto::auth::v1::{RegisterRequest, auth_service_client::AuthServiceClient};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::Process;

/// The signing secret of the tests.
pub const SECRET: &str = "a secret that only these tests know, no service";

/// A new client address for each call, because many registrations from one address would be limited.
/// It is from 198.18.0.0/15, which RFC 2544 reserves for benchmarks.
#[must_use]
pub fn another_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let host = NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 17);
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + host).to_string()
}

/// Registers a user at `auth`. Returns a client and the token of the session.
///
/// # Errors
/// When nothing answers, or the registration fails.
pub async fn sign_up(auth: SocketAddr) -> anyhow::Result<(AuthServiceClient<Channel>, String)> {
    let channel = Channel::from_shared(format!("http://{auth}"))?
        .tcp_nodelay(true)
        .connect()
        .await?;
    let mut client = AuthServiceClient::new(channel);
    let request = RegisterRequest {
        email: "bench@example.com".to_owned(),
        password: "correct horse battery".to_owned(),
        client_address: another_address(),
        ..RegisterRequest::default()
    };
    let answer = client.register(request).await?.into_inner();
    Ok((client, answer.session.context("no session")?.token))
}

/// Running `user`, `auth` and `frontend`. When it is dropped, they are killed and their data is removed.
#[derive(Debug)]
pub struct System {
    /// The user service's process.
    pub user: Process,
    /// The address of the user service.
    pub user_address: SocketAddr,
    /// The auth service's process.
    pub auth: Process,
    /// The address of the auth service.
    pub auth_address: SocketAddr,
    /// The frontend's process.
    pub frontend: Process,
    /// The address of the frontend.
    pub frontend_address: SocketAddr,
    /// The folder of their data.
    pub folder: TempDir,
    user_variables: Vec<(String, String)>,
}

impl System {
    /// Starts the services with these variables, besides those that connect them.
    ///
    /// # Errors
    /// When a service does not become ready.
    pub async fn start(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_each(|_| variables.to_vec()).await
    }

    /// Starts the services, each with the variables that `variables` returns for its name.
    ///
    /// # Errors
    /// When a service does not become ready.
    pub async fn start_each<'a>(
        variables: impl Fn(&str) -> Vec<(&'a str, &'a str)>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let variables = |service: &str| -> Vec<_> {
            variables(service)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        let (user, user_address) = start("user", "0", &[], &variables("user"), &folder).await?;
        let own = [("USER_SERVICE_ADDRESS", user_address.to_string())];
        let (auth, auth_address) = start("auth", "0", &own, &variables("auth"), &folder).await?;
        let own = [
            ("USER_SERVICE_ADDRESS", user_address.to_string()),
            ("AUTH_SERVICE_ADDRESS", auth_address.to_string()),
        ];
        let (frontend, frontend_address) =
            start("frontend", "0", &own, &variables("frontend"), &folder).await?;
        Ok(Self {
            user,
            user_address,
            auth,
            auth_address,
            frontend,
            frontend_address,
            folder,
            user_variables: variables("user"),
        })
    }

    /// Restarts the user service at its address.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart_user(&mut self) -> anyhow::Result<()> {
        let port = self.user_address.port().to_string();
        (self.user, _) = start("user", &port, &[], &self.user_variables, &self.folder).await?;
        Ok(())
    }

    /// The URL of a page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.frontend_address)
    }

    /// Starts a second frontend with these variables, besides those that connect it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn another_frontend(
        &self,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<(Process, SocketAddr)> {
        let own = [
            ("USER_SERVICE_ADDRESS", self.user_address.to_string()),
            ("AUTH_SERVICE_ADDRESS", self.auth_address.to_string()),
        ];
        let common: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        start("frontend", "0", &own, &common, &self.folder).await
    }
}

async fn start(
    name: &str,
    port: &str,
    own: &[(&str, String)],
    common: &[(String, String)],
    folder: &TempDir,
) -> anyhow::Result<(Process, SocketAddr)> {
    let mut variables = vec![("PORT", port), ("JWT_SECRET", SECRET)];
    variables.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    variables.extend(
        common
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let mut process = Process::start(name, &[], &variables, folder.path())?;
    let address = process.ready().await?;
    Ok((process, address))
}

/// Waits until a condition holds, with a check every few milliseconds.
///
/// # Errors
/// The last error of the condition, if it does not hold in time.
pub async fn eventually<T>(
    within: Duration,
    mut check: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        match check().await {
            Ok(value) => return Ok(value),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
