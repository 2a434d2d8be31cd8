//! RabbitMQ: `rabbitmq_auth_backend_http`, for clients of its MQTT plugin.
//!
//! It asks several times per connection, and only at the first with the password. MQTT topics come as routing keys: `/` is `.`, `+` is `*`. Any
//! word but `allow` and `deny` would break its checks.

use axum::{
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::HookState;
use crate::mirror::{Doing, LoggedIn, Verdict};

/// What RabbitMQ wants to know. Which of it is there depends on the path.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RabbitMqQuestion)]
pub(in crate::http::private) struct Question {
    pub(super) username: String,
    pub(super) vhost: String,
    pub(super) password: String,
    pub(super) client_id: String,
    /// `exchange`, `queue` or `topic`.
    pub(super) resource: String,
    /// Of the resource.
    pub(super) name: String,
    /// `configure`, `write` or `read`.
    pub(super) permission: String,
    pub(super) routing_key: String,
    #[serde(rename = "variable_map.client_id")]
    pub(super) of_client: Option<String>,
}

/// Where MQTT is in RabbitMQ.
const EXCHANGE: &str = "amq.topic";

/// Around the client id in the name of a queue of its subscriptions.
const QUEUE: &str = "mqtt-subscription-";
const QUEUE_ENDS: [&str; 2] = ["qos0", "qos1"];

/// RabbitMQ asks who connects.
#[utoipa::path(
    post, path = "/broker/{secret}/rabbitmq/user", operation_id = "rabbitmqUser", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = Question, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn user(
    State(state): State<HookState>,
    body: Result<Bytes, BytesRejection>,
) -> &'static str {
    let asked = read(&body.unwrap_or_default());
    user_answer(&state, &asked)
}

/// The same as a query.
#[utoipa::path(
    get, path = "/broker/{secret}/rabbitmq/user", operation_id = "rabbitmqUserGet", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn user_get(
    State(state): State<HookState>,
    RawQuery(query): RawQuery,
) -> &'static str {
    let asked = read(query.unwrap_or_default().as_bytes());
    user_answer(&state, &asked)
}

/// RabbitMQ asks whether a user may come to a virtual host.
#[utoipa::path(
    post, path = "/broker/{secret}/rabbitmq/vhost", operation_id = "rabbitmqVhost", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = Question, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn vhost(
    State(state): State<HookState>,
    body: Result<Bytes, BytesRejection>,
) -> &'static str {
    let asked = read(&body.unwrap_or_default());
    word(vhost_verdict(&state, &asked))
}

/// The same as a query.
#[utoipa::path(
    get, path = "/broker/{secret}/rabbitmq/vhost", operation_id = "rabbitmqVhostGet", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn vhost_get(
    State(state): State<HookState>,
    RawQuery(query): RawQuery,
) -> &'static str {
    let asked = read(query.unwrap_or_default().as_bytes());
    word(vhost_verdict(&state, &asked))
}

/// RabbitMQ asks about an exchange or a queue.
///
/// The queues of its own subscriptions are a client's, and it may read the exchange; the gateway may write there too.
#[utoipa::path(
    post, path = "/broker/{secret}/rabbitmq/resource", operation_id = "rabbitmqResource", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = Question, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn resource(
    State(state): State<HookState>,
    body: Result<Bytes, BytesRejection>,
) -> &'static str {
    let asked = read(&body.unwrap_or_default());
    word(resource_verdict(&state, &asked))
}

/// The same as a query.
#[utoipa::path(
    get, path = "/broker/{secret}/rabbitmq/resource", operation_id = "rabbitmqResourceGet", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn resource_get(
    State(state): State<HookState>,
    RawQuery(query): RawQuery,
) -> &'static str {
    let asked = read(query.unwrap_or_default().as_bytes());
    word(resource_verdict(&state, &asked))
}

/// RabbitMQ asks about a topic.
#[utoipa::path(
    post, path = "/broker/{secret}/rabbitmq/topic", operation_id = "rabbitmqTopic", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    request_body(content = Question, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn topic(
    State(state): State<HookState>,
    body: Result<Bytes, BytesRejection>,
) -> &'static str {
    let asked = read(&body.unwrap_or_default());
    word(topic_verdict(&state, &asked))
}

/// The same as a query.
#[utoipa::path(
    get, path = "/broker/{secret}/rabbitmq/topic", operation_id = "rabbitmqTopicGet", tag = "Broker hooks",
    params(("secret" = String, Path, description = "what `broker_hooks.secret` is")),
    responses(
        (status = 200, description = "whether it may: `allow` or `deny`", body = String, content_type = "text/plain"),
        (status = 404, description = "the secret is wrong, or hooks are off, or not for this address"),
    )
)]
pub(in crate::http::private) async fn topic_get(
    State(state): State<HookState>,
    RawQuery(query): RawQuery,
) -> &'static str {
    let asked = read(query.unwrap_or_default().as_bytes());
    word(topic_verdict(&state, &asked))
}

/// What cannot be read says nothing, and gets nothing.
pub(super) fn read(form: &[u8]) -> Question {
    let mut asked = Question::default();
    for (key, value) in url::form_urlencoded::parse(form) {
        let value = value.into_owned();
        match &*key {
            "username" => asked.username = value,
            "vhost" => asked.vhost = value,
            "password" => asked.password = value,
            "client_id" => asked.client_id = value,
            "resource" => asked.resource = value,
            "name" => asked.name = value,
            "permission" => asked.permission = value,
            "routing_key" => asked.routing_key = value,
            "variable_map.client_id" => asked.of_client = Some(value),
            _ => {}
        }
    }
    asked
}

pub(super) fn user_answer(state: &HookState, asked: &Question) -> &'static str {
    let password = asked.password.as_bytes();
    match state
        .hooks
        .login(&asked.client_id, &asked.username, password)
    {
        LoggedIn::Client(_) | LoggedIn::Gateway => "allow",
        LoggedIn::Nobody(verdict) => word(verdict),
        LoggedIn::Wrong => {
            state.wrong.note("rabbitmq", None, &asked.username);
            "deny"
        }
    }
}

/// In another virtual host there may be the same names, of somebody else.
fn is_elsewhere(state: &HookState, asked: &Question) -> bool {
    asked.vhost != *state.vhost
}

pub(super) fn vhost_verdict(state: &HookState, asked: &Question) -> Verdict {
    if is_elsewhere(state, asked) {
        return Verdict::Deny;
    }
    state.hooks.is_known(&asked.username)
}

pub(super) fn resource_verdict(state: &HookState, asked: &Question) -> Verdict {
    if is_elsewhere(state, asked) {
        return Verdict::Deny;
    }
    match (&*asked.resource, &*asked.permission) {
        ("exchange", "read") if asked.name == EXCHANGE => state.hooks.is_known(&asked.username),
        ("exchange", "write") if asked.name == EXCHANGE => state.hooks.publishes(&asked.username),
        ("queue", "configure" | "write" | "read") => {
            let of = asked.name.strip_prefix(QUEUE).and_then(|rest| {
                let mut ends = QUEUE_ENDS.iter();
                ends.find_map(|end| rest.strip_suffix(end))
            });
            of.map_or(Verdict::Deny, |client_id| {
                state.hooks.owns(&asked.username, client_id)
            })
        }
        _ => Verdict::Deny,
    }
}

pub(super) fn topic_verdict(state: &HookState, asked: &Question) -> Verdict {
    let doing = match &*asked.permission {
        "read" => Doing::Subscribe,
        "write" => Doing::Publish,
        _ => return Verdict::Deny,
    };
    if asked.name != EXCHANGE || is_elsewhere(state, asked) {
        return Verdict::Deny;
    }
    let topic = asked.routing_key.replace('.', "/").replace('*', "+");
    let client_id = asked.of_client.as_deref();
    state.hooks.may(&asked.username, client_id, doing, &topic)
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny | Verdict::Ignore => "deny",
    }
}
