//! Calls of a service.

use std::{net::SocketAddr, time::Duration};

use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// A channel to the service at this address.
#[must_use]
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        // A call that takes longer hangs.
        .timeout(Duration::from_secs(20))
        .connect_lazy()
}

/// The fields in an `INVALID_ARGUMENT`, each with its description.
#[must_use]
pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    for violation in violations {
        assert!(!violation.description.is_empty(), "{violation:?}");
    }
    violations
        .iter()
        .map(|violation| violation.field.clone())
        .collect()
}
