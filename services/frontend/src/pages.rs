//! The pages as HTML. Code here does no I/O.

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
