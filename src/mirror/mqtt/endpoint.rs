//! Where a broker is, how it is reached, and who we are to it.

use std::fmt;

use crate::config::{self, endpoint, login::Login, mqtt::Protocol, target_link::TlsFiles};

/// A broker's address, with what it takes to get in.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The files of TLS; absent = no TLS.
    pub tls: Option<TlsFiles>,
    /// The path at which MQTT is spoken over WebSocket; absent = right over TCP or TLS.
    pub websocket: Option<String>,
    /// User name and password.
    pub login: Option<Login>,
    /// The version to speak.
    pub protocol: Protocol,
}

impl Endpoint {
    /// Reads the URL of a target. The error says what is wrong without repeating the URL.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, String> {
        let parsed = endpoint::Endpoint::parse(url)?;
        let password = parsed.password.unwrap_or_default();
        Ok(Self {
            host: parsed.host,
            port: parsed.port,
            tls: parsed.tls.then(TlsFiles::default),
            websocket: parsed.websocket,
            login: parsed.username.map(|user| Login::known(user, password)),
            protocol,
        })
    }

    /// The broker of a target, entered with what its keys and its URL say.
    pub fn of(target: &config::mqtt::Target) -> Result<Self, String> {
        let parsed = Self::parse(&target.url, target.protocol)?;
        Ok(Self {
            tls: parsed.tls.map(|_| target.tls_files()),
            login: target.login(),
            ..parsed
        })
    }

    /// The same broker, entered with these credentials.
    pub fn with_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some(Login::known(user, password));
        self
    }

    /// Host and port as a URL has them.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn scheme(&self) -> &'static str {
        match (&self.websocket, &self.tls) {
            (None, None) => "mqtt",
            (None, Some(_)) => "mqtts",
            (Some(_), None) => "ws",
            (Some(_), Some(_)) => "wss",
        }
    }
}

/// Without user and password: this goes to logs, and into the request that begins a WebSocket.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.websocket.as_deref().unwrap_or_default();
        write!(f, "{}://{}{path}", self.scheme(), self.authority())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_address_and_login() {
        let parsed = Endpoint::parse("mqtt://a%40b:p%3Aw@[::1]:1884", Protocol::V5).unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port), ("::1", 1884));
        assert_eq!(parsed.login, Some(Login::known("a@b", "p:w")));
        assert_eq!(format!("{parsed:?}"), "mqtt://[::1]:1884");
    }

    #[test]
    fn the_scheme_says_how_it_is_reached() {
        for (url, shown) in [
            ("mqtt://h", "mqtt://h:1883"),
            ("mqtts://u:p@h", "mqtts://h:8883"),
            ("ws://h/mqtt", "ws://h:80/mqtt"),
            ("wss://u:p@h:8084/a/b", "wss://h:8084/a/b"),
            ("wss://h", "wss://h:443/"),
        ] {
            let parsed = Endpoint::parse(url, Protocol::V5).unwrap();
            assert_eq!(parsed.to_string(), shown);
        }
    }
}
