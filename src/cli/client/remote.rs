//! Where a private listener is: by a flag, or by the configuration.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueHint};
use url::Url;

use super::{Client, credential::Credential};
use crate::{
    cli::{Failure, Globals},
    config::Config,
};

/// How long the listener may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

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
}

/// A URL, with a hint for those who leave out what is always the same.
fn base_url(text: &str) -> Result<Url, String> {
    let hint = |why: url::ParseError| format!("{why}: it must be like http://127.0.0.1:8081");
    Url::parse(text).map_err(hint)
}

impl Remote {
    /// A client of the listener that the flag or the configuration names.
    pub(in crate::cli) fn client(&self, globals: &Globals) -> Result<Client, Failure> {
        let (base, found_by) = match &self.url {
            Some(url) => (url.clone(), "from --url"),
            None => (
                private_url(&globals.load()?)?,
                "from server.private; change that key or give --url",
            ),
        };
        if base.scheme() != "http" || base.cannot_be_a_base() {
            let why = anyhow!("--url must be an http:// URL: the private listener has no TLS");
            return Err(Failure::Usage(why));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()
            .context("cannot make an HTTP client")?;
        let credential = Credential::find(self.token_file.as_ref(), globals)?;
        Ok(Client {
            http,
            base,
            found_by,
            credential,
        })
    }
}

fn private_url(config: &Config) -> anyhow::Result<Url> {
    loopback_url("server.private", config.server.private)
}

/// The URL of a listener of this machine that the configuration names under `key`.
pub(in crate::cli) fn loopback_url(key: &str, mut address: SocketAddr) -> anyhow::Result<Url> {
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
    Url::parse(&format!("http://{address}")).with_context(|| format!("{key} makes no URL"))
}
