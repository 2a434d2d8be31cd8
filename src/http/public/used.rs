//! What is written down of the reads of clients that follow a log over HTTP.
//!
//! Invariant: each answer is one request of its module, and a statement is counted for the module that it was run for.

use std::sync::Arc;

use axum::{
    body::HttpBody,
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};

use crate::telemetry::usage::{Meter, Requests, statements};

/// Marks an answer that tells its client that there is nothing new.
#[derive(Debug, Clone, Copy)]
pub(super) struct NothingNew;

/// Runs a read of a module, and counts its answer. What events will be sent of it is counted by who sends them.
pub(super) async fn counted(meter: &Meter, read: impl Future<Output = Response>) -> Response {
    let (response, statements) = statements::of(read).await;
    let reads = &meter.push.reads;
    reads.add_statements(statements);
    if statements > 0 {
        reads.add_from_database();
    }
    count(reads, &response);
    response
}

fn count(reads: &Requests, response: &Response) {
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let nothing_new = response.extensions().get::<NothingNew>().is_some();
    add(reads, response.status(), bytes, nothing_new);
}

/// Counts an answer with a body of so many bytes.
pub(super) fn add(reads: &Requests, status: StatusCode, bytes: usize, nothing_new: bool) {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    let is_refused = status.is_client_error() || status.is_server_error();
    let tally = match (is_refused, nothing_new || bodiless.contains(&status)) {
        (true, _) => &reads.refused,
        (false, true) => &reads.idle,
        (false, false) => &reads.news,
    };
    tally.add(bytes);
}

/// Counts requests that are for no module, or for many: sessions, flags.
pub(super) async fn count_others(
    State(meter): State<Arc<Meter>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    count(&meter.push.reads, &response);
    response
}
