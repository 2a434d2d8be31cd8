//! The public listener: legacy polls and everything for clients.

mod compression;
mod legacy_poll;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware, routing::get};

use self::compression::Compression;
use super::problem::Problem;
use crate::poll::Route;

/// What the public listener serves.
#[derive(Clone)]
pub struct PublicState {
    /// The legacy endpoints; their paths do not conflict ([`crate::poll::conflicts`]).
    pub endpoints: Vec<Arc<Route>>,
    /// Largest body of a legacy poll.
    pub body_bytes: usize,
    /// How long such a body may take.
    pub body_patience: Duration,
    /// Larger answers are compressed for clients that accept gzip; 0 = none.
    pub compress_above_bytes: usize,
}

/// All routes of the public listener.
pub fn router(state: PublicState) -> Router {
    let compression = Compression::above(state.compress_above_bytes);
    let others = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path"))
        .layer(middleware::from_fn_with_state(
            compression,
            compression::layer,
        ));
    // Legacy polls compress by themselves: a layer is dear for an answer of sixty bytes.
    legacy_poll::routes(state, compression).merge(others)
}
