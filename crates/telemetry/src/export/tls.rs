//! TLS of the exporters: the trusted certificate authorities and the client certificate.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::settings::{Export, File};

/// A setting that turned out to be wrong when it was used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct BadSetting {
    /// The variable.
    pub variable: &'static str,
    /// The reason why it is wrong, without its value.
    pub reason: String,
}

/// The TLS settings of a signal.
pub(super) fn config(export: &Export) -> Result<ClientConfig, BadSetting> {
    let roots = if export.endpoint.is_https() {
        roots(export)?
    } else {
        RootCertStore::empty()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(export.variable, &error))?
        .with_root_certificates(roots);
    match (&export.client_certificate, &export.client_key) {
        _ if !export.endpoint.is_https() => Ok(builder.with_no_client_auth()),
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| bad(key.0, &error)),
        (Some((variable, _)), None) => Err(bad(variable, &"needs a client key beside it")),
        (None, Some((variable, _))) => Err(bad(variable, &"needs a client certificate beside it")),
    }
}

fn roots(export: &Export) -> Result<RootCertStore, BadSetting> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &export.certificate {
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .map_err(|error| bad(file.0, &error))?;
        }
    } else {
        // Some systems have certificates that rustls cannot read. The others suffice.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let reason = "https needs root certificates, and the system has none; \
                OTEL_EXPORTER_OTLP_CERTIFICATE can name a file with them";
            return Err(bad(export.variable, &reason));
        }
    }
    Ok(roots)
}

fn certificates((variable, path): &File) -> Result<Vec<CertificateDer<'static>>, BadSetting> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(variable, &format!("{}: {error}", path.display())))?;
    if certificates.is_empty() {
        let reason = format!(
            "{}: the file has no certificate in PEM form",
            path.display()
        );
        return Err(bad(variable, &reason));
    }
    Ok(certificates)
}

fn private_key((variable, path): &File) -> Result<PrivateKeyDer<'static>, BadSetting> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| bad(variable, &format!("{}: {error}", path.display())))
}

pub(super) fn bad(variable: &'static str, reason: &dyn fmt::Display) -> BadSetting {
    BadSetting {
        variable,
        reason: reason.to_string(),
    }
}
