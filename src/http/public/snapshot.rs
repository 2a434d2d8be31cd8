//! `GET /v1/modules/{module}/snapshot`: the last change of every key that is there, in pages.
//!
//! It replaces what a client holds. Each page says where the next one is, and repeats the cursor
//! at which the log goes on once all pages are applied.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use utoipa::IntoParams;

use super::description::SnapshotAnswer;
use super::doors::Brought;
use super::json::{push, push_json};
use super::native::{Endpoint, NativeState, bad_request, snapshot_url};
use super::used;
use crate::{
    http::{Problem, query::QueryOf},
    native::{Bookmark, Channels, SnapshotPage},
    store::StateItem,
};

/// What the query may hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Whose changes, besides everyone's: with open callers who asks, else one of the caller's audiences; absent = all of them.
    audience: Option<String>,
    /// From `next` of the page before.
    #[param(pattern = "^[0-9a-f]{8}_[0-9a-f]{16}_[0-9a-f]{16}$")]
    page: Option<String>,
}

/// The last change of every key that is there.
///
/// It replaces what a client holds. Once all pages are applied, the log goes on at `cursor`, which every page repeats.
#[utoipa::path(
    get, path = "/v1/modules/{module}/snapshot", operation_id = "getSnapshot", tag = "Native reads",
    params(("module" = String, Path, description = "a configured module"), Query),
    responses(
        (status = 200, description = "a page", body = SnapshotAnswer, content_type = "application/json"),
        (status = 400, description = "the query is not as it should be"),
        (status = 404, description = "no such module, or it keeps no state"),
        (status = 410, description = "the log cannot go on at the page's cursor any more: begin again",
            headers(("Location" = String, description = "where to begin"))),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "not now: the database does not answer, or too many read"),
    )
)]
pub(super) async fn snapshot(
    State(state): State<Arc<NativeState>>,
    module: Result<Path<String>, PathRejection>,
    query: Result<QueryOf<Query>, Problem>,
    brought: Brought,
) -> Response {
    Endpoint::Snapshot.answered(answer(&state, module, query, &brought).await)
}

async fn answer(
    state: &NativeState,
    module: Result<Path<String>, PathRejection>,
    query: Result<QueryOf<Query>, Problem>,
    brought: &Brought,
) -> Result<Response, Problem> {
    let QueryOf(query) = query?;
    let name = module.as_ref().map_or("", |Path(name)| name);
    let named = query.audience.as_deref();
    let (channels, _who) = state.channels(name, named, &brought.asking()).await?;
    let bookmark = query.page.as_deref().map(str::parse::<Bookmark>);
    let bookmark = bookmark.transpose().map_err(|why| bad_request(&why))?;
    let meter = state.usage.of_module(channels.module());
    let answer = async {
        let page = state.reads.snapshot(&channels, bookmark).await;
        let page = page.map_err(|unread| state.refusal(&channels, &unread));
        page.map(|page| shown(&channels, &page)).into_response()
    };
    Ok(used::counted(&meter, answer).await)
}

fn shown(channels: &Channels, page: &SnapshotPage) -> Response {
    let mut body = BytesMut::new();
    push!(body, r#"{{"cursor":"{}","items":["#, page.cursor);
    for (n, item) in page.items.iter().enumerate() {
        if n > 0 {
            body.put_u8(b',');
        }
        push_item(&mut body, item);
    }
    body.put_slice(br#"],"next":"#);
    push_json(&mut body, &page.next.map(|next| next_url(channels, next)));
    body.put_u8(b'}');
    let mut response = Response::new(Body::from(body.freeze()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The value is copied as the producer wrote it.
fn push_item(body: &mut BytesMut, item: &StateItem) {
    body.put_slice(br#"{"key":"#);
    push_json(body, &item.key);
    body.put_slice(br#","audience":"#);
    push_json(body, &item.audience.as_str());
    push!(body, r#","position":{},"value":"#, item.position);
    body.put_slice(item.value.as_str().as_bytes());
    body.put_u8(b'}');
}

fn next_url(channels: &Channels, next: Bookmark) -> String {
    let url = snapshot_url(channels);
    let joint = if channels.named().is_some() { '&' } else { '?' };
    format!("{url}{joint}page={next}")
}
