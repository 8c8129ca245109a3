//! URLs of web pages.

use std::str::FromStr;

use url::Url;

/// The URL that browsers use for the pages: a scheme and a host, without a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicUrl {
    https: bool,
    authority: String,
}

impl PublicUrl {
    /// Whether browsers use TLS, even if a proxy terminates it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, with its port unless that is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = web(text)?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("the URL must not have a path, query or fragment".to_owned());
        }
        let host = url.host_str().ok_or("the URL has no host")?;
        Ok(Self {
            https: url.scheme() == "https",
            authority: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
        })
    }
}

/// Parses an http or https URL.
///
/// # Errors
/// When the text is no such URL, or holds a user name or password: pages, spans and log records show URLs.
pub fn web(text: &str) -> Result<Url, String> {
    let url = any(text)?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("not a URL of the form https://HOST".to_owned()),
    }
}

/// Parses a URL of any scheme, under the same rules.
///
/// # Errors
/// As for [`web`].
pub fn any(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err("a URL must not hold a user name or password".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_no_path() {
        let url: PublicUrl = "https://Example.org:443/".parse().unwrap();
        assert!(url.is_https());
        assert_eq!(url.authority(), "example.org");
        let url: PublicUrl = "http://example.org:8080".parse().unwrap();
        assert!(!url.is_https());
        assert_eq!(url.authority(), "example.org:8080");
        for bad in [
            "example.org",
            "ftp://x",
            "https://x/app",
            "https://x/?q",
            "",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
