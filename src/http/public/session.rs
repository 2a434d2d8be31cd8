//! `POST /v1/session`: how each module comes to a client, and where it connects for what is pushed.

use std::sync::Arc;

use axum::{
    Json,
    extract::{self, State},
    http::header::USER_AGENT,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    callers::CallsFrom,
    native::{Endpoint, NativeState, bad_request},
    request_body,
};
use crate::{
    domain::{Invalid, ModuleName},
    http::Problem,
    identity::Who,
    mirror::{AskedSession, Session},
};

/// The request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SessionRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// Which client asks: the same one each time, as a poll of it names it.
    #[schema(min_length = 1, max_length = 128)]
    client_id: String,
    /// Its program and version, for operators and their cohorts; absent = its `User-Agent`.
    #[schema(max_length = 256)]
    agent: Option<String>,
    /// The modules that it wants; absent = all.
    modules: Option<Vec<String>>,
    /// With open callers: who asks, besides everyone.
    audience: Option<String>,
}

/// Most bytes of a client id and of an agent.
pub(super) const CLIENT_ID_BYTES: usize = 128;
pub(super) const AGENT_BYTES: usize = 256;

/// What a client that is ready for push needs at start.
///
/// To be asked again after `next_session_ms`, and when the `version` in a module's retained message is a new one. The content
/// type of the request does not matter.
#[utoipa::path(
    post, path = "/v1/session", operation_id = "openSession", tag = "Push",
    request_body(content = Request, content_type = "application/json"),
    responses(
        (status = 200, description = "how each module comes, and where to connect", body = Session),
        (status = 400, description = "the body is not as it should be, or there is no such module"),
        (status = 408, description = "the body did not arrive"),
        (status = 413, description = "the body is larger than `session.body_bytes`"),
    )
)]
pub(super) async fn open(
    State(state): State<Arc<NativeState>>,
    request: extract::Request,
) -> Response {
    let answer = answer(&state, request).await;
    Endpoint::Session.answered(answer.map(Json).into_response())
}

async fn answer(state: &NativeState, request: extract::Request) -> Result<Session, Problem> {
    let address = CallsFrom::of(&request);
    let user_agent = request.headers().get(USER_AGENT);
    let user_agent = user_agent
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let request: Request = request_body::read(request, state.body_patience).await?;
    check("client_id", &request.client_id, CLIENT_ID_BYTES)?;
    if let Some(agent) = &request.agent {
        check("agent", agent, AGENT_BYTES)?;
    }
    let modules = request.modules.as_deref();
    let own = state.audience(request.audience.as_deref())?;
    let asked = AskedSession {
        who: Who::Open,
        audiences: own.into_iter().collect(),
        modules: modules.map(|names| known(state, names)).transpose()?,
        client_id: request.client_id,
        agent: request.agent.or(user_agent).unwrap_or_default(),
        address,
        chance: rand::random(),
    };
    Ok(state.sessions.open(&asked))
}

fn known(state: &NativeState, names: &[String]) -> Result<Vec<ModuleName>, Problem> {
    let one = |name: &String| {
        let module = state.sessions.module(name).cloned();
        module.ok_or_else(|| {
            let why = format!("there is no module `{}`", name.escape_debug());
            bad_request(&Invalid::new("modules", why))
        })
    };
    names.iter().map(one).collect()
}

fn check(field: &'static str, text: &str, most: usize) -> Result<(), Problem> {
    fits(text, most).map_err(|why| bad_request(&Invalid::new(field, why)))
}

/// Whether a text may be a client id or an agent of so many bytes; if not, why.
pub(super) fn fits(text: &str, most: usize) -> Result<(), String> {
    let why = if text.is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > most {
        format!("has {} bytes, at most {most} are allowed", text.len())
    } else if text.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(why)
}
