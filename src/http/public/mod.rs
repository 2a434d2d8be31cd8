//! The public listener: legacy polls and everything for clients.

mod legacy_poll;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing::get};

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
}

/// All routes of the public listener.
pub fn router(state: PublicState) -> Router {
    legacy_poll::routes(state)
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path"))
}
