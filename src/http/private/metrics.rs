//! `GET /metrics`: the Prometheus text format.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::PrivateState;

/// All metrics of this process.
pub async fn metrics(State(state): State<PrivateState>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, state.metrics.render()).into_response()
}
