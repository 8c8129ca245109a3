//! The pages as HTML. Nothing here asks anyone anything.

pub(crate) mod account;
pub(crate) mod activity;
pub(crate) mod credentials;
pub(crate) mod home;
pub(crate) mod status;

mod frame;
mod moment;
mod problem;

pub(crate) use self::{
    frame::{Frame, Place},
    problem::Problem,
};
