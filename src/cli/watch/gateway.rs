//! The questions of a client, asked of one gateway's public listener.
//!
//! Invariant: each question ends in one event, whatever becomes of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::json;
use url::Url;

use crate::{
    cli::client::{Answer, Broken, Trouble, Wire},
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

/// What helps whom the gateway does not know, or does not let read this.
const HINT: &str = "; show it who asks by --header 'NAME: VALUE' or --header @FILE, and which client it is by --client-id";

/// A client's questions about one module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    wire: Wire,
    base: Url,
    /// What is shown to it.
    headers: HeaderMap,
    client_id: String,
    audience: Option<Audience>,
    module: ModuleName,
    /// The refusals that were told already, by their status.
    told: Arc<Mutex<BTreeSet<StatusCode>>>,
}

/// A body, or why there is none and when to come back.
type Answered = Result<Vec<u8>, Refused>;

struct Refused {
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
}

impl Gateway {
    pub(super) fn new(
        (wire, base, headers): (Wire, Url, HeaderMap),
        client_id: String,
        audience: Option<Audience>,
        module: ModuleName,
    ) -> Self {
        Self {
            wire,
            base,
            headers,
            client_id,
            audience,
            module,
            told: Arc::default(),
        }
    }

    /// Where the module's log ends now.
    pub(super) async fn end(&self) -> anyhow::Result<Cursor> {
        let module = &self.module;
        let url = self.at(&["v1", "streams", module.as_str()]);
        let asked = self.ask(Method::HEAD, url).await;
        let answer = asked.map_err(|broken| broken.trouble(&self.base, ""))?;
        if !answer.status().is_success() {
            return Err(self.why_no_end(answer.status()).await.into());
        }
        let end = answer.headers().get("stream-next-offset");
        let end = end.and_then(|value| value.to_str().ok()?.parse().ok());
        end.with_context(|| format!("{} is no gateway of changeover", self.base))
    }

    /// Asks once more for what a `HEAD` was refused: only then there is a body that tells why.
    async fn why_no_end(&self, status: StatusCode) -> Trouble {
        let module = &self.module;
        let mut url = self.at(&["v1", "streams", module.as_str()]);
        url.query_pairs_mut().append_pair("offset", "now");
        let problem = match self.ask(Method::GET, url).await {
            Ok(answer) if answer.status() == status => problem(answer).await,
            _ => format!("the gateway answered {status}"),
        };
        let problem = match status {
            StatusCode::NOT_FOUND => format!("the gateway has no log of {module}: {problem}"),
            _ => problem,
        };
        Trouble::Answered { status, problem }
    }

    /// Begins a request. What is shown to the gateway is shown to nobody else, wherever a page is said to be.
    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let is_ours = url.origin() == self.base.origin();
        let request = self.wire.request(method, url);
        if is_ours {
            request.headers(self.headers.clone())
        } else {
            request
        }
    }

    async fn ask(&self, method: Method, url: Url) -> Result<Response, Broken> {
        self.wire.send(self.request(method, url)).await
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
        let asked = self.request(Method::POST, url).json(&body);
        let asked = asked.header(CLIENT, &self.client_id);
        let asked = if on_push {
            asked.header(TRANSPORT, "push")
        } else {
            asked
        };
        match self.answered(self.wire.send(asked).await).await {
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
        match self.answered(self.ask(Method::GET, url).await).await {
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
        let request = self.request(Method::POST, self.at(segments));
        self.answered(self.wire.send(request.json(asked)).await)
            .await
    }

    /// The body of an answer. That it does not know us, or lets us read nothing, is told once: waiting does not help then.
    async fn answered(&self, answer: Result<Response, Broken>) -> Answered {
        let answer = answer.map_err(|_broken| Refused::LOST)?;
        let status = answer.status();
        if status.is_success() {
            return body(answer).await;
        }
        let after = answer.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let is_about_us = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if is_about_us && self.is_news(status) {
            eprintln!("refused: {}", problem(answer).await);
        }
        Err(Refused {
            status: Some(status),
            retry_after: after.map(Duration::from_secs),
        })
    }

    fn is_news(&self, status: StatusCode) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(status)
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

impl Refused {
    /// No answer came, or none that ends.
    const LOST: Self = Self {
        status: None,
        retry_after: None,
    };
}

async fn body(mut answer: Response) -> Answered {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|_broken| Refused::LOST)? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES {
            return Err(Refused::LOST);
        }
    }
    Ok(body)
}

/// What a refusal says, and what helps. Control characters never reach a terminal.
async fn problem(answer: Response) -> String {
    let status = answer.status();
    let body = body(answer).await.unwrap_or_default();
    let answer = Answer {
        status,
        retry_after: None,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let problem = answer.problem().replace(char::is_control, " ");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => problem + HINT,
        _ => problem,
    }
}
