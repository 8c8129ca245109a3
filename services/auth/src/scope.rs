//! The scopes of the limits on attempts.

/// The scope of a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// Failed sign-ins to an account.
    Account,
    /// Failed sign-ins from an address.
    Address,
    /// Registrations from an address.
    Registration,
}

impl Scope {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
            Self::Registration => "registration",
        }
    }
}
