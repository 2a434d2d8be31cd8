//! `GET /healthz` and `GET /readyz`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::PrivateState;
use crate::telemetry::Phase;

/// The process answers.
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "Operations",
    responses((status = 200, description = "it does", body = String, content_type = "text/plain"))
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// What `readyz` says.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    status: &'static str,
    degraded: bool,
}

/// 200 once the tail is filled, and during a database outage (`degraded`), because polls go on
/// from memory; 503 while starting and stopping.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "Operations",
    responses(
        (status = 200, description = "it may get traffic", body = Ready),
        (status = 503, description = "it starts or stops", body = Ready),
    )
)]
pub async fn readyz(State(state): State<PrivateState>) -> (StatusCode, Json<Ready>) {
    let (code, status) = match state.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let degraded = state.readiness.is_degraded();
    (code, Json(Ready { status, degraded }))
}
