//! The common look of all web pages: layout, style, files, dates and security headers.
//!
//! Pages need no script. All that they load comes from their own server, and is embedded in the program.

pub mod assets;
pub mod cross_origin;
pub mod headers;
pub mod moment;
pub mod urls;

mod layout;

pub use crate::{
    layout::{Layout, current},
    urls::PublicUrl,
};
