//! The settings of a service's database.

use std::path::PathBuf;

use clap::Args;
use setup::DataFolder;

/// The settings for the path of the database.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// The folder of the file, if `db_path` is not set.
    #[command(flatten)]
    pub data: DataFolder,

    /// SQLite file; by default SERVICE.db in the data folder, such as user.db
    #[arg(long, env = "DB_PATH", value_name = "FILE")]
    pub db_path: Option<PathBuf>,
}

impl Settings {
    /// The path of the database of the service with this name.
    #[must_use]
    pub fn path(&self, service: &str) -> PathBuf {
        let default = || self.data.path.join(format!("{service}.db"));
        self.db_path.clone().unwrap_or_else(default)
    }
}

impl From<DataFolder> for Settings {
    /// Settings with the default file in this folder.
    fn from(data: DataFolder) -> Self {
        Self {
            data,
            db_path: None,
        }
    }
}
