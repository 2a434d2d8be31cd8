//! Where a broker is and who we are to it.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::mqtt::Protocol;

/// A broker's address, with the credentials that its URL carries.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or address, an IPv6 address in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// The version to speak.
    pub protocol: Protocol,
}

/// A URL that is no broker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// Not a URL at all.
    #[error("is not a URL: {0}")]
    Unreadable(#[from] url::ParseError),
    /// A scheme that is not supported.
    #[error("begins with `{0}:`, use mqtt://host:port or embedded://host:port")]
    Scheme(String),
    /// No host.
    #[error("names no host, use mqtt://host:port")]
    NoHost,
    /// Credentials that are no text.
    #[error("has a user name or password that is not UTF-8 after percent-decoding")]
    Login,
}

const DEFAULT_PORT: u16 = 1883;

impl Endpoint {
    /// Reads `mqtt://[user[:password]@]host[:port]` or `embedded://host[:port]`.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, BadEndpoint> {
        let url = Url::parse(url)?;
        if !matches!(url.scheme(), "mqtt" | "embedded") {
            return Err(BadEndpoint::Scheme(url.scheme().to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        Ok(Self {
            host: host.ok_or(BadEndpoint::NoHost)?.to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            login: login(&url)?,
            protocol,
        })
    }

    /// The same broker, entered with these credentials.
    pub fn with_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }
}

fn login(url: &Url) -> Result<Option<(String, String)>, BadEndpoint> {
    if url.username().is_empty() {
        return Ok(None);
    }
    let decode = |text| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    let user = decode(url.username()).map_err(|_| BadEndpoint::Login)?;
    let password = decode(url.password().unwrap_or("")).map_err(|_| BadEndpoint::Login)?;
    Ok(Some((user, password)))
}

/// Without the password: this goes to logs.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_address_and_login() {
        let parsed = Endpoint::parse("mqtt://a%40b:p%3Aw@[::1]:1884", Protocol::V5).unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port), ("[::1]", 1884));
        assert_eq!(parsed.login, Some(("a@b".to_owned(), "p:w".to_owned())));
        assert_eq!(format!("{parsed:?}"), "mqtt://[::1]:1884");
    }

    #[test]
    fn what_is_no_broker_is_refused() {
        let parse = |url| Endpoint::parse(url, Protocol::V5).unwrap_err();
        assert_eq!(parse("http://x"), BadEndpoint::Scheme("http".to_owned()));
        assert!(matches!(parse("nonsense"), BadEndpoint::Unreadable(_)));
        assert_eq!(parse("mqtt:///x"), BadEndpoint::NoHost);
    }
}
