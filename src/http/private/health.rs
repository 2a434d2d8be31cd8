//! `GET /healthz` and `GET /readyz`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::PrivateState;
use crate::telemetry::Phase;

/// The process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// What `readyz` says.
#[derive(Debug, Serialize)]
pub struct Ready {
    status: &'static str,
    degraded: bool,
}

/// 200 once the tail is filled, and during a database outage (`degraded`), because polls go on
/// from memory; 503 while starting and stopping.
pub async fn readyz(State(state): State<PrivateState>) -> (StatusCode, Json<Ready>) {
    let (code, status) = match state.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let degraded = state.readiness.is_degraded();
    (code, Json(Ready { status, degraded }))
}
