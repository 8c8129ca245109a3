//! What a program makes or leaves out before it starts: private folders, secrets, and settings that
//! a cluster has set for somebody else.
//!
//! Services, `otelix` and `preflight` share it, so that all of them make the same files.

mod folders;
mod secrets;
mod service_links;

pub use self::{
    folders::{create_private, name_user},
    secrets::{
        Secret, SecretError, Unusable, check_folder as check_secrets_folder,
        folder as secrets_folder,
    },
    service_links::{is_service_link, without_service_links},
};
