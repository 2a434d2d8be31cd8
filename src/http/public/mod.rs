//! The public listener: legacy polls and everything for clients.

mod callers;
mod compression;
mod cors;
mod description;
mod doors;
pub(super) mod etag;
mod json;
mod legacy_description;
mod legacy_poll;
mod native;
mod ofrep;
mod poll;
mod reader;
mod request_body;
mod security_description;
mod service;
mod session;
mod snapshot;
mod sse;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod stream_cursor;
mod stream_page;
mod stream_request;
mod streams;
mod used;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    http::StatusCode,
    middleware,
    routing::{any, get},
};

use self::{
    callers::Callers, compression::Compression, legacy_poll::RefusedAs, ofrep::direct::Direct,
    service::Walls,
};
pub use compression::Sent;
pub use native::{NativeState, routes as native_routes};
pub use ofrep::{OfrepState, RequestBounds};
pub use service::Public;

use super::{description as descriptions, problem::Problem};
use crate::{
    domain::{ModuleName, Network},
    identity::{Identity, pace::Pace},
    mirror::AsyncApi,
    poll::Route,
};

/// What the public listener serves.
#[derive(Clone)]
pub struct PublicState {
    /// The legacy endpoints; their paths do not conflict ([`crate::poll::conflicts`]).
    pub endpoints: Vec<Arc<Route>>,
    /// Largest body of a legacy poll.
    pub body_bytes: usize,
    /// How long such a body may take.
    pub body_patience: Duration,
    /// The configured modules.
    pub modules: Vec<ModuleName>,
    /// The MQTT topics, described.
    pub asyncapi: Arc<AsyncApi>,
    /// Larger answers are compressed for clients that accept gzip; 0 = none.
    pub compress_above_bytes: usize,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// Who may ask. Endpoints know it already.
    pub identity: Arc<Identity>,
    /// Web pages of which origins may ask; `*` for all.
    pub cors_origins: Vec<String>,
    /// Longest path and query of a request.
    pub url_bytes: usize,
    /// How often one may ask.
    pub pace: Arc<Pace>,
}

/// The service of the public listener; `native` are the routes of [`native_routes`].
pub fn service(state: PublicState, native: Router, flags: Option<OfrepState>) -> Public {
    let compression = Compression::above(state.compress_above_bytes);
    let own = descriptions::routes(description::documents(&state))
        .route("/healthz", get(healthz))
        .method_not_allowed_fallback(native::wrong_method);
    let flags = flags.map(Arc::new);
    let direct = flags.as_ref();
    let direct = direct.and_then(|flags| Direct::of(flags, compression));
    let others = native
        .merge(flags.map(ofrep::routes).unwrap_or_default())
        .merge(own)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path"))
        .layer(middleware::from_fn_with_state(
            compression,
            compression::layer,
        ));
    let refusing = refusing(&state);
    // Legacy polls compress by themselves: a layer is dear for an answer of sixty bytes.
    let callers = Callers::behind(state.proxies.clone());
    let (pace, url_bytes) = (Arc::clone(&state.pace), state.url_bytes);
    let (fixed, captured) = legacy_poll::paths(state, compression);
    let walls = Walls {
        refusing: captured.clone().fallback_service(refusing),
        pace,
        url_bytes,
    };
    Public::new((fixed, direct), captured.merge(others), callers, walls)
}

/// Who answers what is kept out and is no legacy poll: pages of other origins may read it where they may read the endpoint.
fn refusing(state: &PublicState) -> Router {
    let native = ["/v1/{*path}", "/ofrep/{*path}"].iter();
    let routes = native.fold(Router::new(), |routes, path| {
        routes.route(path, any(kept_out))
    });
    let routes = match cors::layer(&state.cors_origins, &state.identity) {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes.fallback(kept_out)
}

/// What is kept out and is no legacy poll.
async fn kept_out(Extension(RefusedAs(failure)): Extension<RefusedAs>) -> Problem {
    let problem = Problem::new(failure.status(), failure.message());
    match failure.retry_after_s(1) {
        Some(secs) => problem.retry_after(secs),
        None => problem,
    }
}

/// The process answers.
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "Operations",
    responses((status = 200, description = "it does", body = String, content_type = "text/plain"))
)]
async fn healthz() -> &'static str {
    "ok\n"
}
