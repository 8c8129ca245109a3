//! Private folders, secrets, lock files, ports in use, and port settings that ignore service links.
//!
//! Services, `otelix` and `preflight` share this crate, so all of them make the same files.

mod folders;
mod locks;
mod secrets;
mod service_links;
#[cfg_attr(target_os = "linux", path = "sockets/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "sockets/other.rs")]
mod sockets;

pub use self::{
    folders::{DataFolder, create_private, name_user},
    locks::{database_holder, lock_file, lock_holder},
    secrets::{
        Secret, SecretError, Unusable, check_folder as check_secrets_folder,
        folder as secrets_folder,
    },
    service_links::{is_service_link, without_service_links},
    sockets::Sockets,
};
