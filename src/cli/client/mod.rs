//! A client of the private listener.

mod answer;
mod broken;
mod credential;
mod remote;
mod tls_files;
mod wire;

use anyhow::{Context, bail};
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::Value;
use url::Url;

pub(super) use answer::Answer;
pub use answer::Trouble;
pub use broken::Broken;
pub use remote::Remote;
pub(super) use remote::loopback_url;
pub use tls_files::TlsFlags;
pub(super) use wire::Wire;

use self::credential::Credential;
use super::{actor::Actor, suggestion};

const MODULES: [&str; 3] = ["admin", "v1", "modules"];

/// The largest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Speaks to one private listener.
pub(super) struct Client {
    wire: Wire,
    base: Url,
    /// How the address was found, for those whom it puzzles.
    found_by: &'static str,
    /// What is shown there.
    credential: Credential,
}

impl Client {
    /// Begins a request. The segments are percent-encoded.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        let request = self.wire.request(method, url);
        match &self.credential.bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer),
            None => request,
        }
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
        let answer = self.send(request).await?;
        self.accepted(answer, named(segments, &Value::Null)).await
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
        self.accepted(answer, named(segments, body)).await
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
        let answer = self.send(request).await?;
        self.accepted(answer, named(segments, body)).await
    }

    /// The body of a 2xx answer; for others the problem that it tells, and if a module is unknown, which may have been meant.
    pub(super) async fn accepted(
        &self,
        answer: Answer,
        module: Option<&str>,
    ) -> anyhow::Result<String> {
        let (status, mut problem) = (answer.status, answer.problem());
        if status.is_success() {
            return Ok(answer.body);
        }
        if status == StatusCode::UNAUTHORIZED {
            problem.push_str(&self.credential.hint());
        }
        if status == StatusCode::NOT_FOUND {
            let known = self.modules().await;
            let hint = match (known, module) {
                (None, _) => format!("; {} is no private listener ({})", self.base, self.found_by),
                (Some(known), Some(module)) => suggestion::hint(module, &known),
                (Some(_), None) => String::new(),
            };
            problem.push_str(&hint);
        }
        Err(Trouble::Answered { status, problem }.into())
    }

    /// The modules that there are; nothing if nobody is there who knows modules.
    async fn modules(&self) -> Option<Vec<String>> {
        let asked = self.send(self.request(Method::GET, &MODULES)).await;
        let answer = asked.ok()?;
        if answer.status == StatusCode::NOT_FOUND {
            return None;
        }
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let modules = body.get("modules").and_then(Value::as_array);
        let name = |module: &Value| Some(module.get("module")?.as_str()?.to_owned());
        let modules = modules.into_iter().flatten();
        Some(modules.filter_map(name).collect())
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
        let sent = self.wire.send(request).await;
        let mut response = sent.map_err(|broken| self.unreachable(broken))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        let mut next = async || match response.chunk().await {
            Ok(piece) => Ok(piece),
            Err(broken) => Err(self.unreachable(broken.into())),
        };
        while let Some(piece) = next().await? {
            if body.len() + piece.len() > ANSWER_BYTES {
                bail!("the answer is larger than {ANSWER_BYTES} bytes: ask for less with --limit");
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status,
            retry_after,
            body: String::from_utf8(body).context("the answer is not UTF-8")?,
        })
    }

    fn unreachable(&self, broken: Broken) -> Trouble {
        broken.trouble(&self.base, self.found_by)
    }
}

/// The module that a request names, in its path or in its body.
fn named<'r>(segments: &[&'r str], body: &'r Value) -> Option<&'r str> {
    match segments {
        ["admin", "v1", "modules", module, ..] | ["v1", "modules", module, ..] => Some(*module),
        _ => body.get("module").and_then(Value::as_str),
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
