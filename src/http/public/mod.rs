//! The public listener: legacy polls and everything for clients.

mod cors;
mod etag;
mod json;
mod legacy_poll;
mod native;
mod poll;
mod snapshot;
mod sse;
mod stream_cursor;
mod streams;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing::get};

pub use native::{NativeState, routes as native_routes};

use super::problem::Problem;
use crate::poll::Endpoint;

/// What the public listener serves.
#[derive(Clone)]
pub struct PublicState {
    /// The legacy endpoints; their paths do not conflict ([`crate::poll::conflicts`]).
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Largest body of a legacy poll.
    pub body_bytes: usize,
    /// How long such a body may take.
    pub body_patience: Duration,
}

/// The routes of the public listener, except the native ones, which are merged into them.
pub fn router(state: PublicState) -> Router {
    legacy_poll::routes(state)
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path"))
}
