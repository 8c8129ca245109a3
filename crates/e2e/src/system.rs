//! The three services, each a process of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::Process;

/// A secret that only tests know.
pub const SECRET: &str = "a secret that only these tests know, no service";

/// A client address that no other call of this process gets: many registrations from one address
/// would be limited. From the block that RFC 2544 keeps for benchmarks, 198.18.0.0/15.
#[must_use]
pub fn another_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let host = NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 17);
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + host).to_string()
}

/// `user`, `auth` and `frontend`, running. Dropped, they are killed and their data removed.
#[derive(Debug)]
pub struct System {
    /// The user service's process.
    pub user: Process,
    /// Where it listens.
    pub user_address: SocketAddr,
    /// The auth service's process.
    pub auth: Process,
    /// Where it listens.
    pub auth_address: SocketAddr,
    /// The frontend's process.
    pub frontend: Process,
    /// Where it listens.
    pub frontend_address: SocketAddr,
    /// Where they keep their data.
    pub folder: TempDir,
    user_variables: Vec<(String, String)>,
}

impl System {
    /// Starts the three, with these variables besides those that connect them.
    ///
    /// # Errors
    /// When one does not get ready.
    pub async fn start(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_each(|_| variables.to_vec()).await
    }

    /// Starts the three, each with the variables that its name yields.
    ///
    /// # Errors
    /// When one does not get ready.
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

    /// Starts the user service again, where it was before.
    ///
    /// # Errors
    /// When it does not get ready.
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

    /// Starts a second frontend beside the first, with these variables besides those that connect
    /// it.
    ///
    /// # Errors
    /// When it does not get ready.
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

/// Waits until something holds, asking every few milliseconds.
///
/// # Errors
/// The last reason, when it does not hold in time.
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
