//! The gRPC contracts: messages, clients and server traits of `user` and `auth`, and the messages of
//! events.
//!
//! The code in `generated/` is generated from the files under `proto/` and checked in; a test compares
//! both. The comments in `proto/` are the documentation. There are no domain types here: each service
//! converts messages at its edge.
//!
//! `Debug` shows a field as `..` if its name says that it is an email, a password, a secret or a token.

/// Accounts: `proto/user/v1/user.proto`.
pub mod user {
    /// Version 1 of the contract.
    pub mod v1 {
        include!("generated/user.v1.rs");
    }
}

/// Sessions: `proto/auth/v1/auth.proto`.
pub mod auth {
    /// Version 1 of the contract.
    pub mod v1 {
        include!("generated/auth.v1.rs");
    }
}

/// Events: `proto/events/v1/events.proto`.
pub mod events {
    /// Version 1 of the contract.
    pub mod v1 {
        include!("generated/events.v1.rs");
    }
}

/// The encoded `FileDescriptorSet` of all contracts, for gRPC server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

/// Every method of every service, as `package.Service/Method`.
pub const METHODS: &[&str] = include!("generated/methods.rs");

/// The `.proto` source of the events, for schema registries.
pub const EVENTS: &str = include_str!("../../../proto/events/v1/events.proto");

#[cfg(test)]
mod tests;
