//! Where a private listener is: by a flag, or by the configuration.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueHint};
use url::{Host, Url};

use super::{Client, TlsFlags, Wire, credential::Credential};
use crate::{
    cli::{Failure, Globals},
    config::Config,
};

/// Where the private listener is.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// Private listener, e.g. `http://127.0.0.1:8081`; without it, `server.private` of the
    /// configuration.
    #[arg(long, value_parser = base_url)]
    pub url: Option<Url>,
    /// A file that holds a token; without it `CHANGEOVER_TOKEN`, or the file of `auth.admin_token_file`.
    #[arg(long, env = "CHANGEOVER_TOKEN_FILE", hide_env_values = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsFlags,
}

/// A URL, with a hint for those who leave out what is always the same.
fn base_url(text: &str) -> Result<Url, String> {
    let hint = |why: url::ParseError| format!("{why}: it must be like http://127.0.0.1:8081");
    Url::parse(text).map_err(hint)
}

impl Remote {
    /// A client of the listener that the flag or the configuration names.
    pub(in crate::cli) fn client(&self, globals: &Globals) -> Result<Client, Failure> {
        if let Some(url) = self.url.as_ref().filter(|url| is_read_on_the_way(url)) {
            let credential = Credential::given(self.token_file.as_ref())?;
            let kept = || Credential::kept_from(url.host_str().unwrap_or_default());
            return self.showing(credential.unwrap_or_else(kept), globals);
        }
        self.showing(
            Credential::find(self.token_file.as_ref(), globals)?,
            globals,
        )
    }

    /// The same, which shows no token.
    pub(in crate::cli) fn stranger(&self, globals: &Globals) -> Result<Client, Failure> {
        self.showing(Credential::none("none is asked for".to_owned()), globals)
    }

    fn showing(&self, credential: Credential, globals: &Globals) -> Result<Client, Failure> {
        let (base, found_by) = match &self.url {
            Some(url) => (url.clone(), "from --url"),
            None => (
                private_url(&globals.load()?)?,
                "from server.private; change that key or give --url",
            ),
        };
        if !base.username().is_empty() || base.password().is_some() {
            let why = "--url: a user or a password in it would stand beside the token, and others see both: leave them out, and give the token by --token-file or \
                CHANGEOVER_TOKEN";
            return Err(Failure::Usage(anyhow!(why)));
        }
        let tls = self.tls.for_url(&base)?;
        Ok(Client {
            wire: Wire::new(None, tls)?,
            base,
            found_by,
            credential,
        })
    }
}

/// Whether others may read on the way what is sent there.
fn is_read_on_the_way(url: &Url) -> bool {
    let is_near = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_near
}

fn private_url(config: &Config) -> anyhow::Result<Url> {
    let has_tls = config.server.private_tls.is_some();
    loopback_url("server.private", config.server.private, has_tls)
}

/// The URL of a listener of this machine that the configuration names under `key`. With TLS it is asked by the name that certificates
/// have rather than addresses.
pub(in crate::cli) fn loopback_url(
    key: &str,
    mut address: SocketAddr,
    has_tls: bool,
) -> anyhow::Result<Url> {
    if address.port() == 0 {
        bail!("{key} has port 0, so its real port is not known here: give --url");
    }
    if address.ip().is_unspecified() {
        let loopback = match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        };
        address.set_ip(loopback);
    }
    let url = match address.port() {
        port if has_tls && address.ip().is_loopback() => format!("https://localhost:{port}"),
        _ if has_tls => format!("https://{address}"),
        _ => format!("http://{address}"),
    };
    Url::parse(&url).with_context(|| format!("{key} makes no URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_the_machine_or_is_encrypted_is_read_by_nobody() {
        let is_read = |url: &str| is_read_on_the_way(&Url::parse(url).unwrap());
        for near in [
            "http://localhost:8081",
            "http://LOCALHOST",
            "http://127.1.2.3:8081",
            "http://[::1]:8081",
            "http://[::ffff:127.0.0.1]",
            "https://gateway.internal",
        ] {
            assert!(!is_read(near), "{near}");
        }
        for far in [
            "http://gateway.internal:8081",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[2001:db8::1]:8081",
        ] {
            assert!(is_read(far), "{far}");
        }
    }
}
