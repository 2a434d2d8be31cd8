//! `POST /v1/session`: how each module comes to a client, and where it connects for what is pushed.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{self, State},
    http::{StatusCode, header::USER_AGENT},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    doors::{self, Brought},
    native::{Endpoint, NativeState, bad_request},
    request_body,
};
use crate::{
    domain::{Invalid, ModuleName},
    http::Problem,
    identity::{Accepted, Asking, Refused, Who},
    mirror::{AskedSession, Session},
};

/// The request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SessionRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// Which client asks: the same one each time, as a poll of it names it. Absent = the caller's own id; with open callers it must be there.
    #[schema(min_length = 1, max_length = 128)]
    pub(super) client_id: Option<String>,
    /// Its program and version, for operators and their cohorts; absent = its `User-Agent`. What the caller's credential says of it comes
    /// first.
    #[schema(max_length = 256)]
    pub(super) agent: Option<String>,
    /// The modules that it wants; absent = all that take the caller.
    pub(super) modules: Option<Vec<String>>,
    /// Whose changes, besides everyone's: with open callers who asks, else one of the caller's audiences; absent = all of them.
    pub(super) audience: Option<String>,
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
    let brought = Brought::by(&request);
    let asking = brought.asking();
    let who = state.who(&asking, Accepted::ALL).await?;
    let request: Request = request_body::read(request, state.body_patience).await?;
    let client_id = client_id(state, request.client_id, &who)?;
    if let Some(agent) = &request.agent {
        check("agent", agent, AGENT_BYTES)?;
    }
    let vouched = who.caller().and_then(|caller| caller.agent.as_deref());
    let user_agent = brought.headers.get(USER_AGENT);
    let user_agent = user_agent.and_then(|value| value.to_str().ok());
    let named = state.audience(request.audience.as_deref())?;
    let asked = AskedSession {
        audiences: doors::audiences(&who, named).map_err(|why| state.refused(why))?,
        modules: modules(state, request.modules.as_deref(), &asking, &who).await?,
        client_id,
        agent: vouched
            .map(str::to_owned)
            .or(request.agent)
            .unwrap_or_else(|| user_agent.unwrap_or_default().to_owned()),
        address: brought.address(),
        chance: rand::random(),
        who,
    };
    Ok(state.sessions.open(&asked).await)
}

/// Which client asks: the one that the request names, if it is the caller's, or the caller.
fn client_id(state: &NativeState, said: Option<String>, who: &Who) -> Result<String, Problem> {
    if said.is_none() && who.caller().is_none() {
        let why = "the body: missing field `client_id`";
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let client_id = who
        .client_id(said.map(Cow::Owned))
        .map_err(|why| state.refused(why))?;
    check("client_id", &client_id, CLIENT_ID_BYTES)?;
    Ok(client_id.into_owned())
}

/// The modules of the session; `None` = all. One that is named has to take the caller, the others are left out if they do not.
async fn modules(
    state: &NativeState,
    names: Option<&[String]>,
    asking: &Asking<'_>,
    who: &Who,
) -> Result<Option<Vec<ModuleName>>, Problem> {
    if let Some(names) = names {
        let modules = known(state, names)?;
        for module in &modules {
            if !state.identity.takes(module, asking, who).await {
                return Err(state.refused(Refused::NotThisModule));
            }
        }
        return Ok(Some(modules));
    }
    let (mut taking, mut all) = (Vec::new(), true);
    for module in state.sessions.modules() {
        if state.identity.takes(module, asking, who).await {
            taking.push(module.clone());
        } else {
            all = false;
        }
    }
    Ok((!all).then_some(taking))
}

fn known(state: &NativeState, names: &[String]) -> Result<Vec<ModuleName>, Problem> {
    let one = |name: &String| {
        let module = state.sessions.module(name).cloned();
        module.ok_or_else(|| {
            let why = format!("there is no module `{}`", name.escape_debug());
            bad_request(&Invalid::new("modules", why))
        })
    };
    // A name that stands there twice is looked at once, so the work is bounded by the modules that there are.
    let names: BTreeSet<_> = names.iter().collect();
    names.into_iter().map(one).collect()
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
