//! A target's URL, taken apart.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use percent_encoding::percent_decode_str;
use url::Url;

/// Where MQTT is if a URL names no port: plain, over TLS, over WebSocket, and over both.
const PORTS: [(&str, u16); 5] = [
    ("embedded", 1883),
    ("mqtt", 1883),
    ("mqtts", 8883),
    ("ws", 80),
    ("wss", 443),
];

/// Who runs the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// This process.
    Embedded,
    /// Somebody else.
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
    /// Whether TLS is spoken below MQTT.
    pub tls: bool,
    /// The path at which MQTT is spoken over WebSocket; absent = right over TCP or TLS.
    pub websocket: Option<String>,
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
                "cannot be read ({error}): write mqtt://host:1883, mqtts://host:8883, wss://host/path or embedded://127.0.0.1:1883, and percent-encode special characters in a password"
            )
        })?;
        let scheme = parsed.scheme();
        let default_port = default_port(scheme)?;
        let websocket = matches!(scheme, "ws" | "wss").then(|| parsed.path().to_owned());
        let extra = websocket.is_none() && !matches!(parsed.path(), "" | "/");
        if extra || parsed.query().is_some() || parsed.fragment().is_some() {
            let end = websocket.map_or("port", |_| "path");
            return Err(format!("must end after the {end}"));
        }
        let host = parsed.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        let endpoint = Self {
            kind: if scheme == "embedded" {
                BrokerKind::Embedded
            } else {
                BrokerKind::Mqtt
            },
            host: host.to_owned(),
            port: parsed.port().unwrap_or(default_port),
            tls: matches!(scheme, "mqtts" | "wss"),
            websocket,
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

    /// Whether what is sent stays on this machine.
    pub fn is_local(&self) -> bool {
        let ip: Option<IpAddr> = self.host.parse().ok();
        ip.map_or(self.host == "localhost", |ip| ip.is_loopback())
    }

    /// Where an embedded broker listens; `None` for an external one.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        (self.kind == BrokerKind::Embedded).then(|| SocketAddr::new(ip, self.port))
    }
}

fn default_port(scheme: &str) -> Result<u16, String> {
    let known = PORTS.iter().find(|(known, _)| *known == scheme);
    known.map(|(_, port)| *port).ok_or_else(|| {
        format!(
            "`{scheme}://` is not supported: use embedded://, mqtt://, mqtts://, ws:// or wss://"
        )
    })
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
            .field("tls", &self.tls)
            .field("websocket", &self.websocket)
            .field("username", &self.username)
            .field(
                "password",
                &self.password.as_ref().map(|_| super::redact::HIDDEN),
            )
            .finish()
    }
}
