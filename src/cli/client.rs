//! A client of the private listener.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::Value;
use url::Url;

use super::{Failure, Globals, actor::Actor};
use crate::config::Config;

/// How long the listener may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Where the private listener is.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// Private listener, e.g. `http://127.0.0.1:8081`; without it, `server.private` of the
    /// configuration.
    #[arg(long)]
    pub url: Option<Url>,
}

/// Speaks to one private listener.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    /// How the address was found, for those whom it puzzles.
    found_by: &'static str,
}

/// An answer.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Seconds of `Retry-After`.
    pub(super) retry_after: Option<u64>,
    /// Its body.
    pub(super) body: String,
}

impl Remote {
    /// A client of the listener that the flag or the configuration names.
    pub(super) fn client(&self, globals: &Globals) -> Result<Client, Failure> {
        let (base, found_by) = match &self.url {
            Some(url) => (url.clone(), "from --url"),
            None => (
                private_url(&globals.load()?)?,
                "from server.private; change that key or give --url",
            ),
        };
        if base.scheme() != "http" || base.cannot_be_a_base() {
            return Err(
                anyhow!("--url must be an http:// URL: the private listener has no TLS").into(),
            );
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Client {
            http,
            base,
            found_by,
        })
    }
}

fn private_url(config: &Config) -> anyhow::Result<Url> {
    loopback_url("server.private", config.server.private)
}

/// The URL of a listener of this machine that the configuration names under `key`.
pub(super) fn loopback_url(key: &str, mut address: SocketAddr) -> anyhow::Result<Url> {
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

impl Client {
    /// Begins a request. The segments are percent-encoded.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        self.http.request(method, url)
    }

    /// Reads; the body of a 2xx answer.
    pub(super) async fn get(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<String> {
        let mut request = self.request(Method::GET, segments);
        for (name, value) in query {
            request = with_query(request, name, value)?;
        }
        self.send(request).await?.accepted()
    }

    /// Acts; the body of a 2xx answer.
    pub(super) async fn act(
        &self,
        segments: &[&str],
        body: &Value,
        actor: &Actor,
        version: Option<i64>,
    ) -> anyhow::Result<String> {
        let answer = self.try_act(segments, body, actor, version).await?;
        answer.accepted()
    }

    /// Acts; the answer, whatever its status.
    pub(super) async fn try_act(
        &self,
        segments: &[&str],
        body: &Value,
        actor: &Actor,
        version: Option<i64>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.act_request(Method::POST, segments, body, actor)?;
        if let Some(version) = version {
            request = request.header("If-Match", format!("\"{version}\""));
        }
        self.send(request).await
    }

    /// Undoes; the body of a 2xx answer.
    pub(super) async fn undo(
        &self,
        segments: &[&str],
        body: &Value,
        actor: &Actor,
    ) -> anyhow::Result<String> {
        let request = self.act_request(Method::DELETE, segments, body, actor)?;
        self.send(request).await?.accepted()
    }

    fn act_request(
        &self,
        method: Method,
        segments: &[&str],
        body: &Value,
        actor: &Actor,
    ) -> anyhow::Result<RequestBuilder> {
        let request = self
            .request(method, segments)
            .header("Changeover-Actor", header_text(&actor.name))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if actor.dry_run {
            return with_query(request, "dry_run", "true");
        }
        Ok(request)
    }

    /// Sends a request and reads its answer, whatever its status.
    pub(super) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let mut response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.context("the answer broke off")? {
            if body.len() + piece.len() > ANSWER_BYTES {
                bail!("the answer is larger than {ANSWER_BYTES} bytes: ask for less with --limit");
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status: response.status(),
            retry_after,
            body: String::from_utf8(body).context("the answer is not UTF-8")?,
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let (base, found_by) = (&self.base, self.found_by);
        let what = if error.is_connect() {
            "nothing answers at"
        } else if error.is_timeout() {
            "no answer in time from"
        } else {
            "cannot ask"
        };
        let hint = if error.is_connect() {
            ": is `changeover serve` running?"
        } else {
            ""
        };
        anyhow::Error::new(error.without_url()).context(format!("{what} {base} ({found_by}){hint}"))
    }
}

/// reqwest's own `query` is behind a feature that nothing else needs.
fn with_query(request: RequestBuilder, name: &str, value: &str) -> anyhow::Result<RequestBuilder> {
    let (client, request) = request.build_split();
    let mut request = request.context("cannot make the request")?;
    request.url_mut().query_pairs_mut().append_pair(name, value);
    Ok(RequestBuilder::from_parts(client, request))
}

/// Header values are visible ASCII; other characters of a name are percent-encoded.
fn header_text(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::CONTROLS).to_string()
}

impl Answer {
    /// The body of a 2xx answer; for others the problem that it tells.
    pub(super) fn accepted(self) -> anyhow::Result<String> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        Err(anyhow!("{}", self.problem()))
    }

    /// What a problem document (RFC 9457) says; the status for any other body.
    pub(super) fn problem(&self) -> String {
        let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |member| value.get(member).and_then(Value::as_str);
        match (text("title"), text("detail")) {
            (Some(title), Some(detail)) => format!("{title}: {detail} ({})", self.status.as_u16()),
            (Some(one), None) | (None, Some(one)) => format!("{one} ({})", self.status.as_u16()),
            (None, None) => format!("the gateway answered {}", self.status),
        }
    }
}
