//! Where a broker is and who we are to it.

use std::fmt;

use crate::config::{endpoint, mqtt::Protocol};

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

impl Endpoint {
    /// Reads `mqtt://[user[:password]@]host[:port]` or `embedded://address[:port]`. The error says
    /// what is wrong without repeating the URL.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, String> {
        let parsed = endpoint::Endpoint::parse(url)?;
        let host = if parsed.host.contains(':') {
            format!("[{}]", parsed.host)
        } else {
            parsed.host
        };
        let password = parsed.password.unwrap_or_default();
        Ok(Self {
            host,
            port: parsed.port,
            login: parsed.username.map(|user| (user, password)),
            protocol,
        })
    }

    /// The same broker, entered with these credentials.
    pub fn with_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }
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
}
