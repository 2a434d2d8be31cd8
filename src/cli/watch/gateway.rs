//! The questions of a client, asked of one gateway's public listener.
//!
//! Invariant: each question ends in one event, whatever becomes of it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, Response, StatusCode, header::RETRY_AFTER};
use serde_json::json;
use url::Url;

use crate::{
    cli::client::{Broken, Wire},
    client::{Event, Polled, Session, StatePage},
    domain::{Audience, Cursor, ModuleName},
};

/// What it says that it is.
pub(super) const AGENT: &str = concat!("changeover-watch/", env!("CARGO_PKG_VERSION"));

/// Where reads say which client they are of, and that it is on push.
const CLIENT: &str = "changeover-client";
const TRANSPORT: &str = "changeover-transport";

/// The largest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A client's questions about one module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    wire: Wire,
    base: Url,
    client_id: String,
    audience: Option<Audience>,
    module: ModuleName,
}

/// A body, or why there is none and when to come back.
type Answered = Result<Vec<u8>, Refused>;

struct Refused {
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
}

impl Gateway {
    pub(super) fn new(
        (wire, base): (Wire, Url),
        client_id: String,
        audience: Option<Audience>,
        module: ModuleName,
    ) -> Self {
        Self {
            wire,
            base,
            client_id,
            audience,
            module,
        }
    }

    /// Where the module's log ends now.
    pub(super) async fn end(&self) -> anyhow::Result<Cursor> {
        let module = &self.module;
        let url = self.at(&["v1", "streams", module.as_str()]);
        let asked = self.wire.send(self.wire.request(Method::HEAD, url)).await;
        let answer = asked.map_err(|broken| {
            let base = &self.base;
            anyhow::Error::new(broken).context(format!("cannot ask {base}"))
        })?;
        if !answer.status().is_success() {
            bail!("the gateway has no log of {module}: {}", answer.status());
        }
        let end = answer.headers().get("stream-next-offset");
        let end = end.and_then(|value| value.to_str().ok()?.parse().ok());
        end.with_context(|| format!("{} is no gateway of changeover", self.base))
    }

    pub(super) async fn session(&self) -> Event {
        let body = json!({
            "client_id": self.client_id,
            "agent": AGENT,
            "modules": [self.module],
            "audience": self.audience,
        });
        match self.post(&["v1", "session"], &body).await {
            Ok(body) => match Session::parse(&body) {
                Ok(session) => Event::Session(session),
                Err(_unreadable) => Event::SessionFailed(None),
            },
            Err(refused) => Event::SessionFailed(refused.retry_after),
        }
    }

    /// `on_push`: changes reach it by push, and it only reads what it may have missed.
    pub(super) async fn read(&self, after: Option<Cursor>, on_push: bool) -> Event {
        let module = self.module.clone();
        let body = json!({"cursors": {module.as_str(): after}, "audience": self.audience});
        let url = self.at(&["v1", "poll"]);
        let asked = self.wire.request(Method::POST, url).json(&body);
        let asked = asked.header(CLIENT, &self.client_id);
        let asked = if on_push {
            asked.header(TRANSPORT, "push")
        } else {
            asked
        };
        match self::body(self.wire.send(asked).await).await {
            Ok(body) => {
                let mut polled = Polled::parse(&body).unwrap_or_default();
                match polled.remove(&module) {
                    Some(Polled::Page(page)) => Event::Page(module, page),
                    Some(Polled::Gone) => Event::Gone(module),
                    Some(Polled::Failed) | None => Event::ReadFailed(module, None),
                }
            }
            Err(refused) => Event::ReadFailed(module, refused.retry_after),
        }
    }

    /// `page` is where the page before said that this one is.
    pub(super) async fn state(&self, page: Option<&str>) -> Event {
        let module = self.module.clone();
        let url = page.map_or_else(|| Some(self.first_page()), |page| self.base.join(page).ok());
        let Some(url) = url else {
            return Event::ReadFailed(module, None);
        };
        let asked = self.wire.request(Method::GET, url);
        match body(self.wire.send(asked).await).await {
            Ok(body) => match StatePage::parse(&body) {
                Ok(page) => Event::State(module, page),
                Err(_unreadable) => Event::ReadFailed(module, None),
            },
            Err(refused) => match refused.status {
                Some(StatusCode::GONE) => Event::Gone(module),
                Some(StatusCode::NOT_FOUND) => Event::NoState(module),
                _ => Event::ReadFailed(module, refused.retry_after),
            },
        }
    }

    fn first_page(&self) -> Url {
        let mut url = self.at(&["v1", "modules", self.module.as_str(), "snapshot"]);
        if let Some(audience) = &self.audience {
            url.query_pairs_mut()
                .append_pair("audience", audience.as_str());
        }
        url
    }

    async fn post(&self, segments: &[&str], asked: &serde_json::Value) -> Answered {
        let request = self.wire.request(Method::POST, self.at(segments));
        body(self.wire.send(request.json(asked)).await).await
    }

    /// The segments are percent-encoded.
    fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

async fn body(answer: Result<Response, Broken>) -> Answered {
    let lost = || Refused {
        status: None,
        retry_after: None,
    };
    let mut answer = answer.map_err(|_broken| lost())?;
    if !answer.status().is_success() {
        let after = answer.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        return Err(Refused {
            status: Some(answer.status()),
            retry_after: after.map(Duration::from_secs),
        });
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|_broken| lost())? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES {
            return Err(Refused {
                status: None,
                retry_after: None,
            });
        }
    }
    Ok(body)
}
