//! A target's URL, taken apart.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use percent_encoding::percent_decode_str;
use url::Url;

/// MQTT's own port.
const DEFAULT_PORT: u16 = 1883;

/// Who runs the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// This process.
    Embedded,
    /// Somebody else; reached by MQTT over TCP.
    Mqtt,
}

/// Where and how to reach a broker. For an embedded one, where it listens.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Who runs it.
    pub kind: BrokerKind,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port; 0 only for an embedded broker, which then takes a free one.
    pub port: u16,
    /// User name, percent-decoded.
    pub username: Option<String>,
    /// Password, percent-decoded.
    pub password: Option<String>,
}

impl Endpoint {
    /// Takes a URL apart. The error says what is wrong without repeating the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| {
            format!(
                "cannot be read ({error}): write mqtt://user:password@host:1883 or embedded://127.0.0.1:1883, and percent-encode special characters in the password"
            )
        })?;
        let kind = kind(parsed.scheme())?;
        let extra = !matches!(parsed.path(), "" | "/");
        if extra || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err("must end after the port".to_owned());
        }
        let host = parsed.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        let endpoint = Self {
            kind,
            host: host.to_owned(),
            port: parsed.port().unwrap_or(DEFAULT_PORT),
            username: decoded(Some(parsed.username()).filter(|name| !name.is_empty()))?,
            password: decoded(parsed.password())?,
        };
        endpoint.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let credentials = self.username.is_some() || self.password.is_some();
        match self.kind {
            BrokerKind::Mqtt if self.port == 0 => Err("port 0 cannot be reached".to_owned()),
            BrokerKind::Mqtt if self.password.is_some() && self.username.is_none() => {
                Err("has a password but no user".to_owned())
            }
            BrokerKind::Embedded if credentials => {
                Err("the embedded broker takes no user or password: remove them".to_owned())
            }
            BrokerKind::Embedded if self.listen_addr().is_none() => Err(
                "an embedded broker listens on an IP address, such as embedded://127.0.0.1:1883"
                    .to_owned(),
            ),
            _ => Ok(self),
        }
    }

    /// Where an embedded broker listens; `None` for an external one.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        (self.kind == BrokerKind::Embedded).then(|| SocketAddr::new(ip, self.port))
    }
}

fn kind(scheme: &str) -> Result<BrokerKind, String> {
    match scheme {
        "embedded" => Ok(BrokerKind::Embedded),
        "mqtt" => Ok(BrokerKind::Mqtt),
        "mqtts" => Err(
            "TLS to brokers is not available yet: use mqtt:// over a private network or a tunnel"
                .to_owned(),
        ),
        other => Err(format!(
            "`{other}://` is not supported: use embedded:// or mqtt://"
        )),
    }
}

fn decoded(text: Option<&str>) -> Result<Option<String>, String> {
    let decode = |text| percent_decode_str(text).decode_utf8();
    match text.map(decode).transpose() {
        Ok(text) => Ok(text.map(std::borrow::Cow::into_owned)),
        Err(_) => Err("user and password must be UTF-8 once percent-decoded".to_owned()),
    }
}

/// Hides the password.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("username", &self.username)
            .field(
                "password",
                &self.password.as_ref().map(|_| super::redact::HIDDEN),
            )
            .finish()
    }
}
