//! EMQX 5: HTTP authentication and HTTP authorization.
//!
//! The bodies are templates of the operator's; `docs/BROKERS.md` has those that are read here. Keys that EMQX may add are passed over.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::HookState;
use crate::{
    identity::passes::Entered,
    mirror::{Doing, LoggedIn, Verdict},
};

/// Who connects.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"username": "${username}", "password": "${password}", "clientid": "${clientid}", "peerhost": "${peerhost}"}))]
pub(in crate::http::private) struct EmqxAuthenticate {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) clientid: Option<String>,
    /// Where it comes from.
    peerhost: Option<String>,
}

/// What a client wants to do.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"username": "${username}", "clientid": "${clientid}", "topic": "${topic}", "action": "${action}"}))]
pub(in crate::http::private) struct EmqxAuthorize {
    pub(super) username: Option<String>,
    pub(super) clientid: Option<String>,
    pub(super) topic: Option<String>,
    /// `publish` or `subscribe`.
    pub(super) action: Option<String>,
}

/// What EMQX is told.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::private) struct EmqxAnswer {
    #[schema(pattern = "^(allow|deny|ignore)$")]
    pub(super) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_superuser: Option<bool>,
    /// When the connection is to end, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at: Option<i64>,
    /// What it may do, for EMQX 5.8 and later; absent = ask for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    acl: Option<Vec<AclRule>>,
}

/// One rule; the first that fits counts.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::private) struct AclRule {
    #[schema(pattern = "^(allow|deny)$")]
    permission: &'static str,
    #[schema(pattern = "^(publish|subscribe|all)$")]
    action: &'static str,
    /// `eq ` before it: this very topic, no pattern.
    topic: String,
}

/// More topics than these are asked for one by one.
const MOST_RULES: usize = 1_000;

/// Where the pattern of everything does not reach.
const BESIDE: [&str; 4] = ["$SYS/#", "$delayed/#", "$events/#", "#"];

/// EMQX asks who connects.
///
/// A user name of a session with its password may connect with its own client id until the password expires; the gateway's own user may
/// too. Whatever is wrong, the status is 200.
#[utoipa::path(
    post, path = "/broker/{secret}/emqx/authenticate", operation_id = "emqxAuthenticate", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = EmqxAuthenticate, content_type = "application/json"),
    responses(
        (status = 200, description = "whether it may", body = EmqxAnswer),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn authenticate(
    State(state): State<HookState>,
    body: Result<Bytes, BytesRejection>,
) -> Json<EmqxAnswer> {
    Json(authenticated(&state, &read(body)))
}

/// EMQX asks whether a client may subscribe or publish.
#[utoipa::path(
    post, path = "/broker/{secret}/emqx/authorize", operation_id = "emqxAuthorize", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = EmqxAuthorize, content_type = "application/json"),
    responses(
        (status = 200, description = "whether it may", body = EmqxAnswer),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn authorize(
    State(state): State<HookState>,
    body: Result<Bytes, BytesRejection>,
) -> Json<EmqxAnswer> {
    Json(authorized(&state, &read(body)))
}

pub(super) fn authenticated(state: &HookState, asked: &EmqxAuthenticate) -> EmqxAnswer {
    let username = asked.username.as_deref().unwrap_or_default();
    let password = asked.password.as_deref().unwrap_or_default();
    let client_id = asked.clientid.as_deref().unwrap_or_default();
    match state.hooks.login(client_id, username, password.as_bytes()) {
        LoggedIn::Client(entered) => client(state, &entered),
        LoggedIn::Gateway => gateway(state),
        LoggedIn::Nobody(verdict) => answer(verdict),
        LoggedIn::Wrong => {
            let peer = asked.peerhost.as_deref();
            state.wrong.note("emqx", peer, username);
            answer(Verdict::Deny)
        }
    }
}

pub(super) fn authorized(state: &HookState, asked: &EmqxAuthorize) -> EmqxAnswer {
    let doing = match asked.action.as_deref() {
        Some("subscribe") => Doing::Subscribe,
        Some("publish") => Doing::Publish,
        _ => return answer(Verdict::Deny),
    };
    let username = asked.username.as_deref().unwrap_or_default();
    let topic = asked.topic.as_deref().unwrap_or_default();
    let client_id = asked.clientid.as_deref();
    answer(state.hooks.may(username, client_id, doing, topic))
}

/// What cannot be read says nothing, and gets nothing.
fn read<T: Default + for<'de> Deserialize<'de>>(body: Result<Bytes, BytesRejection>) -> T {
    taken_apart(&body.unwrap_or_default())
}

pub(super) fn taken_apart<T: Default + for<'de> Deserialize<'de>>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap_or_default()
}

fn answer(verdict: Verdict) -> EmqxAnswer {
    EmqxAnswer {
        result: match verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Ignore => "ignore",
        },
        is_superuser: None,
        expire_at: None,
        acl: None,
    }
}

fn client(state: &HookState, entered: &Entered) -> EmqxAnswer {
    let topics = state.hooks.topics_of(&entered.pass, MOST_RULES);
    let acl = topics.map(|topics| {
        let exact = topics.into_iter().map(|topic| format!("eq {topic}"));
        rules(exact.map(|topic| ("subscribe", topic)))
    });
    EmqxAnswer {
        is_superuser: Some(false),
        // EMQX refuses a login whose end is not in the future.
        expire_at: Some(entered.expires_at.as_secs() + 1),
        acl,
        ..answer(Verdict::Allow)
    }
}

fn gateway(state: &HookState) -> EmqxAnswer {
    let prefixes = state.hooks.prefixes().into_iter();
    EmqxAnswer {
        is_superuser: Some(false),
        acl: Some(rules(prefixes.map(|topic| ("all", topic)))),
        ..answer(Verdict::Allow)
    }
}

/// These are allowed, and nothing else.
fn rules(allowed: impl Iterator<Item = (&'static str, String)>) -> Vec<AclRule> {
    let allowed = allowed.map(|(action, topic)| AclRule {
        permission: "allow",
        action,
        topic,
    });
    let denied = BESIDE.iter().map(|topic| AclRule {
        permission: "deny",
        action: "all",
        topic: (*topic).to_owned(),
    });
    allowed.chain(denied).collect()
}
