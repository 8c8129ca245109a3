//! The pages as a browser sees them: the real server over HTTP, a fake auth service behind it.

mod activity;
mod auth;
mod forms;
mod harness;
mod pages;
mod process;
mod propagation;
mod sessions;
mod status;
