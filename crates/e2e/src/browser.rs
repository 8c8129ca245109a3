//! A headless Chromium, controlled by WebDriver.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Context as _;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command};

use crate::Process;

/// A browser with an empty profile. It is killed when it is dropped.
#[derive(Debug)]
pub struct Browser {
    /// The WebDriver client of the browser.
    pub client: Client,
    _group: Group,
    _driver: Process,
    _profile: TempDir,
}

/// The process group of the driver and the browser. The browser does not end when its driver is killed.
#[derive(Debug)]
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Fails if the group has ended already.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// The names of programs that a browser needs and this machine lacks; empty if it can start.
#[must_use]
pub fn missing() -> Vec<String> {
    ["chromium", "chromedriver"]
        .into_iter()
        .filter(|program| find(program).is_none())
        .map(ToOwned::to_owned)
        .collect()
}

fn find(program: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

impl Browser {
    /// Starts a browser, with or without JavaScript.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(javascript: bool) -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        // chromedriver cannot choose a free port and report it. A port that was just free stays
        // free, because the system assigns ports in turn.
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={port}"))
            .current_dir(&profile)
            .process_group(0);
        let mut driver = Process::spawn("chromedriver", command)?;
        let id = driver.id().context("chromedriver has ended")?;
        let group = Group(Pid::from_raw(id.try_into()?));
        driver
            .line(|line| line.contains("started successfully"))
            .await?;

        let options = json!({
            // chromedriver only searches a few folders, and not PATH.
            "binary": find("chromium").context("no Chromium on PATH")?,
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-breakpad",
                "--disable-crash-reporter",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--window-size=1280,900",
                format!("--user-data-dir={}", profile.path().display()),
            ],
            "prefs": {
                "profile.managed_default_content_settings.javascript": if javascript { 1 } else { 2 },
            },
        });
        let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let capabilities = capabilities.as_object().cloned().context("no object")?;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("cannot start Chromium")?;
        Ok(Self {
            client,
            _group: group,
            _driver: driver,
            _profile: profile,
        })
    }
}
