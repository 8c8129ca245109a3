//! Invalid tokens. All have the same answer.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, dangerous::insecure_decode, decode_header, encode,
};
use serde_json::{Value, json};
use sha2::{Sha384, Sha512};

use crate::harness::{
    Client, SECRET, Service, is_invalid_session, is_valid, logout, registered, start_user,
};

const OTHER_SECRET: &str = "another secret, of thirty-two bytes or more too";

/// An open session, and the parts of its token.
struct Genuine {
    client: Client,
    token: String,
    header: Header,
    claims: Value,
    _service: Service,
}

impl Genuine {
    async fn new() -> Self {
        let service = Service::start().await;
        let (token, _) = registered(&service.client, "ann@example.com").await;
        Self {
            client: service.client.clone(),
            header: decode_header(&token).unwrap(),
            claims: insecure_decode::<Value>(&token).unwrap().claims,
            token,
            _service: service,
        }
    }

    /// A token with one claim replaced, signed with the same secret.
    fn with(&self, claim: &str, value: impl Into<Value>) -> String {
        let mut claims = self.claims.clone();
        claims[claim] = value.into();
        sign(&self.header, &claims, SECRET)
    }

    fn without(&self, claim: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        sign(&self.header, &claims, SECRET)
    }

    /// Asserts that neither call accepts a token, and that the session stays open.
    async fn refuses(&self, what: &str, token: &str) {
        assert!(!is_valid(&self.client, token).await, "{what}");
        match self.client.clone().logout(logout(token)).await {
            Ok(_) => panic!("signed out: {what}"),
            Err(status) => is_invalid_session(&status),
        }
        assert!(is_valid(&self.client, &self.token).await, "{what}");
    }
}

/// A signature with the secret of the service.
fn code<M: Mac + KeyInit>(message: &str) -> String {
    let code = M::new_from_slice(SECRET.as_bytes()).unwrap();
    URL_SAFE_NO_PAD.encode(code.chain_update(message).finalize().into_bytes())
}

fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn a_token_has_the_documented_header_and_claims() {
    let session = Genuine::new().await;
    assert_eq!(session.header.alg, Algorithm::HS256);
    assert_eq!(session.claims["iss"], "auth");
    assert_eq!(session.claims["aud"], "otelix");
    let time = |claim: &str| session.claims[claim].as_u64().unwrap();
    assert_eq!(time("exp") - time("iat"), 24 * 60 * 60);
    assert_eq!(time("nbf"), time("iat"));
    assert!(time("iat").abs_diff(now()) <= 5);
    // The other tests change a token that is built in this way. Unchanged, it is accepted.
    let same = sign(&session.header, &session.claims, SECRET);
    assert!(is_valid(&session.client, &same).await);
}

#[tokio::test]
async fn another_algorithm_is_refused() {
    let session = Genuine::new().await;
    let signature = session.token.rsplit('.').next().unwrap();
    let kid = session.header.kid.clone().unwrap();
    for name in ["HS384", "HS512"] {
        let header = part(&json!({"typ": "JWT", "alg": name, "kid": kid}));
        let message = format!("{header}.{}", part(&session.claims));
        let signature = match name {
            "HS384" => code::<Hmac<Sha384>>(&message),
            _ => code::<Hmac<Sha512>>(&message),
        };
        session
            .refuses(name, &format!("{message}.{signature}"))
            .await;
    }
    for name in ["none", "None", "NONE", "", "HS1", "RS256", "ES256"] {
        let header = part(&json!({"typ": "JWT", "alg": name, "kid": kid}));
        let claims = part(&session.claims);
        for signature in ["", signature] {
            let token = format!("{header}.{claims}.{signature}");
            session.refuses(name, &token).await;
        }
        session.refuses(name, &format!("{header}.{claims}")).await;
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let session = Genuine::new().await;
    let token = sign(&session.header, &session.claims, OTHER_SECRET);
    session.refuses("right id, wrong key", &token).await;
    for kid in [None, Some(""), Some("0123456789abcdef"), Some("../../etc")] {
        let mut header = session.header.clone();
        header.kid = kid.map(str::to_owned);
        let token = sign(&header, &session.claims, SECRET);
        session.refuses("wrong id, right key", &token).await;
    }
}

#[tokio::test]
async fn a_token_with_a_key_in_its_header_is_refused() {
    let session = Genuine::new().await;
    let key = URL_SAFE_NO_PAD.encode(OTHER_SECRET);
    let kid = session.header.kid.clone().unwrap();
    let header = json!({
        "typ": "JWT", "alg": "HS256", "kid": kid, "jwk": {"kty": "oct", "k": key, "alg": "HS256"},
    });
    let claims = part(&session.claims);
    // Signed with the key in the header.
    let signed = sign(&session.header, &session.claims, OTHER_SECRET);
    let signature = signed.rsplit('.').next().unwrap();
    let token = format!("{}.{claims}.{signature}", part(&header));
    session.refuses("own key", &token).await;
}

#[tokio::test]
async fn other_claims_are_refused() {
    let session = Genuine::new().await;
    let now = now();
    for (claim, value) in [
        ("nbf", json!("now")),
        ("iss", json!("frontend")),
        ("iss", json!(["user", "other"])),
        ("iss", json!(1)),
        ("aud", json!("another")),
        ("aud", json!([])),
        ("exp", json!(now - 60)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!("tomorrow")),
        ("sub", json!("")),
        ("sub", json!("ann@example.com")),
        ("jti", json!("1")),
    ] {
        let token = session.with(claim, value.clone());
        session.refuses(&format!("{claim}: {value}"), &token).await;
    }
    for claim in ["iss", "aud", "exp", "nbf", "sub", "jti"] {
        let token = session.without(claim);
        session.refuses(claim, &token).await;
    }
}

#[tokio::test]
async fn a_token_is_accepted_if_the_clock_is_set_back() {
    let session = Genuine::new().await;
    let later = now() + 60 * 60;
    let mut claims = session.claims.clone();
    for claim in ["iat", "nbf"] {
        claims[claim] = later.into();
    }
    claims["exp"] = (later + 24 * 60 * 60).into();
    let token = sign(&session.header, &claims, SECRET);
    assert!(is_valid(&session.client, &token).await);
}

#[tokio::test]
async fn a_token_with_an_altered_bit_in_any_part_is_refused() {
    let session = Genuine::new().await;
    let parts: Vec<&str> = session.token.split('.').collect();
    for index in 0..3 {
        let bytes = URL_SAFE_NO_PAD.decode(parts[index]).unwrap();
        for position in [0, bytes.len() / 2, bytes.len() - 1] {
            for bit in [0, 5] {
                let mut altered = bytes.clone();
                altered[position] ^= 1 << bit;
                let altered = URL_SAFE_NO_PAD.encode(altered);
                let mut parts = parts.clone();
                parts[index] = &altered;
                session
                    .refuses(&format!("part {index}"), &parts.join("."))
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn text_that_is_not_a_token_is_refused() {
    let session = Genuine::new().await;
    let token = &session.token;
    let (head, tail) = token.split_at(token.len() / 2);
    for (what, text) in [
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("a word", "token".to_owned()),
        ("not base64", "§§§.§§§.§§§".to_owned()),
        ("base64 of no JSON", "aGVsbG8.aGVsbG8.aGVsbG8".to_owned()),
        ("cut", head.to_owned()),
        ("with a blank", format!("{head} {tail}")),
        ("with a line break", format!("{token}\n")),
        ("with padding", format!("{token}=")),
        ("with a scheme", format!("Bearer {token}")),
        ("with a part more", format!("{token}.")),
        ("huge", "x".repeat(32 << 10)),
        (
            "huge after a real one",
            format!("{token}{}", "x".repeat(32 << 10)),
        ),
        (
            "a deep header",
            format!("{}.e30.e30", URL_SAFE_NO_PAD.encode("[".repeat(2000))),
        ),
    ] {
        session.refuses(what, &text).await;
    }
}

#[tokio::test]
async fn a_token_without_a_session_is_refused() {
    let session = Genuine::new().await;
    let token = session.with("jti", "0190a6a8-3f5c-7c3a-8f6e-0123456789ab");
    assert!(!is_valid(&session.client, &token).await);
}

#[tokio::test]
async fn the_secret_can_be_rotated_without_ending_sessions() {
    let users = start_user().await;
    let before = Service::before(users, &[]).await;
    let (old, _) = registered(&before.client, "ann@example.com").await;

    let current = format!("--jwt-secret={OTHER_SECRET}");
    let previous = format!("--jwt-previous-secret={SECRET}");
    let during = Service::again(before.folder, users, &[&current, &previous]).await;
    assert!(is_valid(&during.client, &old).await);
    let (new, _) = registered(&during.client, "bob@example.com").await;
    assert!(is_valid(&during.client, &new).await);
    let kid = |token: &str| decode_header(token).unwrap().kid.unwrap();
    assert_ne!(kid(&old), kid(&new), "the new secret signs");

    let after = Service::again(during.folder, users, &[&current]).await;
    assert!(!is_valid(&after.client, &old).await);
    assert!(is_valid(&after.client, &new).await);
}
