//! `/broker/{secret}/…`: brokers ask who may connect, subscribe and publish.
//!
//! Each broker asks in its own words, a file each; what it is told is `mirror::Hooks`'s to say. Invariants: without the secret, or from
//! elsewhere, there is nothing at these paths; whoever may ask gets 200 whatever is wrong, because brokers take any other status for a
//! failure, and some of them let clients in then; answers come from memory, and nobody's waits.

mod door;
mod emqx;
mod rabbitmq;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod vernemq;
mod wrong;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

pub use door::Door;
pub(super) use emqx::{__path_authenticate, __path_authorize};
pub(super) use rabbitmq::{
    __path_resource, __path_resource_get, __path_topic, __path_topic_get, __path_user,
    __path_user_get, __path_vhost, __path_vhost_get,
};
pub(super) use vernemq::__path_ask;

use self::wrong::WrongLogins;
use super::wrong_method;
use crate::mirror::Hooks;

/// Largest body of a question: a user name of eight KiB, escaped.
const BODY_BYTES: usize = 64 * 1024;

/// What the endpoints ask.
#[derive(Clone)]
pub(super) struct HookState {
    hooks: Arc<Hooks>,
    /// The virtual host of RabbitMQ that the gateway's topics are in.
    vhost: Arc<str>,
    wrong: Arc<WrongLogins>,
}

/// The paths of all brokers, behind their door.
pub(super) fn routes(door: Arc<Door>) -> Router {
    let Some((hooks, vhost, wrong)) = door.hooks() else {
        return Router::new();
    };
    let state = HookState {
        hooks,
        vhost,
        wrong,
    };
    Router::new()
        .route(
            "/broker/{secret}/emqx/authenticate",
            post(emqx::authenticate),
        )
        .route("/broker/{secret}/emqx/authorize", post(emqx::authorize))
        .route(
            "/broker/{secret}/rabbitmq/user",
            get(rabbitmq::user_get).post(rabbitmq::user),
        )
        .route(
            "/broker/{secret}/rabbitmq/vhost",
            get(rabbitmq::vhost_get).post(rabbitmq::vhost),
        )
        .route(
            "/broker/{secret}/rabbitmq/resource",
            get(rabbitmq::resource_get).post(rabbitmq::resource),
        )
        .route(
            "/broker/{secret}/rabbitmq/topic",
            get(rabbitmq::topic_get).post(rabbitmq::topic),
        )
        .route("/broker/{secret}/vernemq", post(vernemq::ask))
        .with_state(state)
        // Behind the door too: an answer of its own would tell that there is a path.
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(door, door::check))
}
