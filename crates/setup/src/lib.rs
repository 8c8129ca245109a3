//! Private folders, secrets, and port settings that ignore service links.
//!
//! Services, `otelix` and `preflight` share it, so that all of them make the same files.

mod folders;
mod secrets;
mod service_links;

pub use self::{
    folders::{DataFolder, create_private, name_user},
    secrets::{
        Secret, SecretError, Unusable, check_folder as check_secrets_folder,
        folder as secrets_folder,
    },
    service_links::{is_service_link, without_service_links},
};
