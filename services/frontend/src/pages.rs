//! The pages as HTML. Code here does no I/O.

pub(crate) mod account;
pub(crate) mod activity;
pub(crate) mod credentials;
pub(crate) mod home;
pub(crate) mod status;

mod frame;
mod problem;

use rust_embed::Embed;

pub(crate) use self::{
    frame::{Frame, Place},
    problem::Problem,
};

/// The files that only pages of the frontend load.
#[derive(Embed)]
#[folder = "assets/"]
pub(crate) struct Files;
