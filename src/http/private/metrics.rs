//! `GET /metrics`: the Prometheus text format.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::PrivateState;

/// All metrics of this process.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "Operations",
    responses((status = 200, description = "in the Prometheus text format", body = String, content_type = "text/plain"))
)]
pub async fn metrics(State(state): State<PrivateState>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, state.metrics.render()).into_response()
}
