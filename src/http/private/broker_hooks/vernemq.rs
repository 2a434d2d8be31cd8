//! VerneMQ: its webhooks, of which the header says which one it is.
//!
//! Answers carry no `Cache-Control`, so that VerneMQ keeps none: what was granted is not granted for longer than its pass.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::HookState;
use crate::mirror::{Doing, LoggedIn, Verdict};

/// What VerneMQ wants to know. Which of it is there depends on the hook.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = VerneMqQuestion)]
pub(in crate::http::private) struct Question {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) client_id: Option<String>,
    /// Where it comes from.
    peer_addr: Option<String>,
    /// Of a publish.
    pub(super) topic: Option<String>,
    /// Of a subscription.
    pub(super) topics: Vec<Filter>,
}

/// What is subscribed to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = VerneMqFilter)]
pub(in crate::http::private) struct Filter {
    pub(super) topic: String,
    #[serde(default)]
    pub(super) qos: u8,
}

/// What VerneMQ is told.
#[derive(Debug, ToSchema)]
#[schema(as = VerneMqAnswer)]
#[expect(dead_code, reason = "it describes what is written by hand")]
pub(in crate::http::private) struct Answer {
    /// `ok`, `next`, or an object with `error`.
    result: Value,
    /// Of `auth_on_subscribe`, if some are refused: each with its QoS, 128 = refused.
    topics: Option<Vec<Value>>,
    /// Of `auth_on_subscribe_m5`: the same, within.
    modifiers: Option<Value>,
}

/// Says which hook it is; those for MQTT 5 end in `_m5`.
const HOOK: &str = "vernemq-hook";
const OF_MQTT_5: &str = "_m5";

/// A filter with this QoS is refused, and the connection stays.
const REFUSED: u8 = 128;

/// VerneMQ asks: `auth_on_register`, `auth_on_subscribe` and `auth_on_publish`, with and without `_m5`.
///
/// The header `vernemq-hook` says which. Whatever is wrong, the status is 200.
#[utoipa::path(
    post, path = "/broker/{secret}/vernemq", operation_id = "vernemq", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = Question, content_type = "application/json"),
    responses(
        (status = 200, description = "whether it may", body = Answer),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn ask(
    State(state): State<HookState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Json<Value> {
    let hook = headers.get(HOOK).and_then(|hook| hook.to_str().ok());
    let hook = hook.unwrap_or_default();
    Json(answered(
        &state,
        hook,
        &taken_apart(&body.unwrap_or_default()),
    ))
}

/// What cannot be read says nothing, and gets nothing.
pub(super) fn taken_apart(body: &[u8]) -> Question {
    serde_json::from_slice(body).unwrap_or_default()
}

pub(super) fn answered(state: &HookState, hook: &str, asked: &Question) -> Value {
    let (hook, is_5) = hook
        .strip_suffix(OF_MQTT_5)
        .map_or((hook, false), |hook| (hook, true));
    match hook {
        "auth_on_register" => register(state, asked),
        "auth_on_subscribe" => subscribe(state, asked, is_5),
        "auth_on_publish" => {
            let topic = asked.topic.as_deref().unwrap_or_default();
            answer(may(state, asked, Doing::Publish, topic))
        }
        _ => answer(Verdict::Ignore),
    }
}

fn register(state: &HookState, asked: &Question) -> Value {
    let username = asked.username.as_deref().unwrap_or_default();
    let password = asked.password.as_deref().unwrap_or_default();
    let client_id = asked.client_id.as_deref().unwrap_or_default();
    match state.hooks.login(client_id, username, password.as_bytes()) {
        LoggedIn::Client(_) | LoggedIn::Gateway => answer(Verdict::Allow),
        LoggedIn::Nobody(verdict) => answer(verdict),
        LoggedIn::Wrong => {
            let peer = asked.peer_addr.as_deref();
            state.wrong.note("vernemq", peer, username);
            answer(Verdict::Deny)
        }
    }
}

fn subscribe(state: &HookState, asked: &Question, is_5: bool) -> Value {
    let filters = asked.topics.iter();
    let verdicts: Vec<_> = filters
        .map(|filter| may(state, asked, Doing::Subscribe, &filter.topic))
        .collect();
    if verdicts.is_empty() {
        return answer(Verdict::Deny);
    }
    if let Some(alike) = verdicts.first().filter(|first| {
        **first != Verdict::Deny && verdicts.iter().all(|verdict| verdict == *first)
    }) {
        return answer(*alike);
    }
    let judged = asked.topics.iter().zip(verdicts).map(|(filter, verdict)| {
        let granted = verdict == Verdict::Allow;
        let qos = if granted { filter.qos } else { REFUSED };
        json!({"topic": filter.topic, "qos": qos})
    });
    let judged: Vec<_> = judged.collect();
    if is_5 {
        return json!({"result": "ok", "modifiers": {"topics": judged}});
    }
    json!({"result": "ok", "topics": judged})
}

fn may(state: &HookState, asked: &Question, doing: Doing, topic: &str) -> Verdict {
    let username = asked.username.as_deref().unwrap_or_default();
    let client_id = asked.client_id.as_deref();
    state.hooks.may(username, client_id, doing, topic)
}

fn answer(verdict: Verdict) -> Value {
    match verdict {
        Verdict::Allow => json!({"result": "ok"}),
        Verdict::Ignore => json!({"result": "next"}),
        Verdict::Deny => json!({"result": {"error": "not_allowed"}}),
    }
}
