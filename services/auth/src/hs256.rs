//! HS256 for jsonwebtoken, with the HMAC of `RustCrypto`. The built-in providers of jsonwebtoken
//! would add either the cryptography of a second TLS library or a dozen unused algorithms.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result, new_error},
    signature,
};
use sha2::Sha256;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let key = Key::new(*algorithm, key.family(), EncodingKey::as_bytes(key))?;
        Ok(Box::new(key))
    },
    verifier_factory: |algorithm, key| {
        let key = Key::new(
            *algorithm,
            key.family(),
            DecodingKey::try_get_as_bytes(key)?,
        )?;
        Ok(Box::new(key))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this module the provider of jsonwebtoken in this process.
pub(crate) fn install() {
    // An error means that it is already installed.
    let _ = PROVIDER.install_default();
}

struct Key(Hmac<Sha256>);

impl Key {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Self> {
        if algorithm != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
            return Err(new_error(ErrorKind::InvalidAlgorithm));
        }
        Hmac::new_from_slice(secret)
            .map(Self)
            .or(Err(new_error(ErrorKind::InvalidKeyFormat)))
    }
}

impl signature::Signer<Vec<u8>> for Key {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        let code = self.0.clone().chain_update(message).finalize();
        Ok(code.into_bytes().to_vec())
    }
}

impl signature::Verifier<Vec<u8>> for Key {
    fn verify(&self, message: &[u8], code: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        // In constant time.
        let verified = self.0.clone().chain_update(message).verify_slice(code);
        verified.map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::{sign, verify};

    use super::*;

    /// The example of RFC 7515, appendix A.1.
    #[test]
    fn the_example_of_the_standard_has_its_signature() {
        install();
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let message = b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEz\
            MDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let expected = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

        let signing = EncodingKey::from_base64_secret(&standard(key)).unwrap();
        let verifying = DecodingKey::from_base64_secret(&standard(key)).unwrap();
        assert_eq!(sign(message, &signing, Algorithm::HS256).unwrap(), expected);
        assert!(verify(expected, message, &verifying, Algorithm::HS256).unwrap());
        assert!(!verify(expected, b"another", &verifying, Algorithm::HS256).unwrap());
    }

    #[test]
    fn no_other_algorithm_is_known() {
        install();
        let signing = EncodingKey::from_secret(b"secret");
        assert!(sign(b"message", &signing, Algorithm::HS384).is_err());
    }

    /// Converts URL-safe base64 to the standard alphabet, with padding.
    fn standard(text: &str) -> String {
        format!("{}==", text.replace('-', "+").replace('_', "/"))
    }
}
