//! `GET` and `HEAD /v1/streams/{module}`: the read side of the Durable Streams protocol in JSON mode.
//!
//! An offset is a cursor. Where the protocol and this server's own promises differ, the promises
//! hold: see `docs/ARCHITECTURE.md`.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    description::SentEvent,
    doors::Brought,
    native::{Endpoint, NativeState},
    reader::Reader,
    sse, stream_cursor,
    stream_page::{NO_STORE, UP_TO_DATE, paged, response},
    stream_request::{Asked, Live, Query, asked},
    used,
};
use crate::{
    http::{Problem, query::QueryOf},
    log::Stale,
    mirror::ChangeEvent,
    native::{Tempo, Unread},
};

/// What to send with the next wait.
pub(super) const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");

/// A module's changes in order, by catch-up, long-poll or server-sent events.
///
/// The read side of the Durable Streams protocol in JSON mode. Server-sent events are `data`, an array of changes, each
/// followed by `control`, which says where to go on.
#[utoipa::path(
    get, path = "/v1/streams/{module}", operation_id = "readStream", tag = "Native reads",
    params(
        ("module" = String, Path, description = "a configured module"),
        Query,
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of the page that the client has"),
        ("Changeover-Client" = Option<String>, Header, description = "which client reads, as in its session: for the census"),
        ("Changeover-Transport" = Option<String>, Header, description = "`push` if changes reach it over MQTT"),
    ),
    responses(
        (status = 200, description = "changes",
            content((Vec<ChangeEvent> = "application/json"), (SentEvent = "text/event-stream")),
            headers(
                ("Stream-Next-Offset" = Option<String>, description = "where to go on"),
                ("Stream-Up-To-Date" = Option<String>, description = "`true`: there was nothing more"),
                ("Stream-Cursor" = Option<String>, description = "what to send with the next wait"),
                ("ETag" = Option<String>, description = "of this page"),
            )),
        (status = 204, description = "nothing came during a long-poll",
            headers(
                ("Stream-Next-Offset" = String, description = "where to go on"),
                ("Stream-Up-To-Date" = String, description = "`true`"),
                ("Stream-Cursor" = String, description = "what to send with the next wait"),
            )),
        (status = 304, description = "the client has this page",
            headers(("Stream-Next-Offset" = String, description = "where to go on"))),
        (status = 400, description = "the query is not as it should be"),
        (status = 404, description = "no such module"),
        (status = 410, description = "the log does not reach back so far, or began anew",
            headers(("Location" = Option<String>, description = "the snapshot, if the module keeps its state"))),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "not now: the database does not answer, or too many read or wait"),
    )
)]
pub(super) async fn read(
    State(state): State<Arc<NativeState>>,
    module: Result<Path<String>, PathRejection>,
    query: Result<QueryOf<Query>, Problem>,
    brought: Brought,
) -> Response {
    let asked = noted(&state, module.as_ref().ok(), query, &brought).await;
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => return Endpoint::CatchUp.answered(problem),
    };
    let headers = &brought.headers;
    let meter = state.usage.of_module(asked.channels.module());
    let answer = async {
        let (endpoint, answer) = match asked.live {
            Live::No => (Endpoint::CatchUp, catch_up(&state, &asked, headers).await),
            Live::LongPoll => (Endpoint::LongPoll, long_poll(&state, &asked, headers).await),
            Live::Events => (Endpoint::Events, events(&state, &asked).await),
        };
        endpoint.answered(answer.map_err(|unread| state.refusal(&asked.channels, &unread)))
    };
    used::counted(&meter, answer).await
}

/// Reads a request, and notes that its client was here.
async fn noted(
    state: &NativeState,
    module: Option<&Path<String>>,
    query: Result<QueryOf<Query>, Problem>,
    brought: &Brought,
) -> Result<Asked, Problem> {
    let QueryOf(query) = query?;
    let asked = asked(state, module, &query, &brought.asking()).await?;
    let reader = Reader::new(brought, &asked.who).map_err(|why| state.refused(why))?;
    reader.note(state, &asked.channels);
    Ok(asked)
}

/// Where a stream ends.
#[utoipa::path(
    head, path = "/v1/streams/{module}", operation_id = "getStreamEnd", tag = "Native reads",
    params(("module" = String, Path, description = "a configured module"), Query),
    responses(
        (status = 200, description = "it ends there",
            headers(("Stream-Next-Offset" = String, description = "the end"))),
        (status = 400, description = "the query is not as it should be"),
        (status = 404, description = "no such module"),
    )
)]
pub(super) async fn head(
    State(state): State<Arc<NativeState>>,
    module: Result<Path<String>, PathRejection>,
    query: Result<QueryOf<Query>, Problem>,
    brought: Brought,
) -> Response {
    Endpoint::Head.answered(end(&state, module, query, &brought).await)
}

async fn end(
    state: &NativeState,
    module: Result<Path<String>, PathRejection>,
    query: Result<QueryOf<Query>, Problem>,
    brought: &Brought,
) -> Result<Response, Problem> {
    let QueryOf(query) = query?;
    let asked = asked(state, module.as_ref().ok(), &query, &brought.asking()).await?;
    let end = state.reads.end(&asked.channels);
    let end = end.map_err(|unread| state.refusal(&asked.channels, &unread))?;
    let mut response = response(StatusCode::OK, end, Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    Ok(response)
}

async fn catch_up(
    state: &NativeState,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response, Unread> {
    let page = state.reads.catch_up(&asked.channels, asked.start).await?;
    if page.is_mute() {
        // An answer that says nothing would bring the client back at once.
        return Err(Unread::Stale(Stale));
    }
    Ok(paged(state, asked, &page, headers))
}

async fn long_poll(
    state: &NativeState,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response, Unread> {
    let wait = patience(state.reads.bounds().wait());
    let wait = asked.who.bounded(wait, || state.clock.now());
    let page = state.reads.wait_for(&asked.channels, asked.start, wait);
    let page = page.await?;
    let mut response = if page.changes.is_empty() {
        let mut response = response(StatusCode::NO_CONTENT, page.cursor, Body::empty());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(UP_TO_DATE, HeaderValue::from_static("true"));
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        response
    } else {
        paged(state, asked, &page, headers)
    };
    let cursor = HeaderValue::from(next_cursor(state, asked.sent));
    response.headers_mut().insert(CURSOR, cursor);
    Ok(response)
}

async fn events(state: &Arc<NativeState>, asked: &Asked) -> Result<Response, Unread> {
    let place = state.reads.stream_place()?;
    let first = state.reads.first_page(&asked.channels, asked.start).await?;
    let bounds = state.reads.bounds();
    let begun = sse::Begun {
        reads: Arc::clone(&state.reads),
        channels: asked.channels.clone(),
        tempo: Tempo {
            // To the end of its caller, after which it would have to be known again.
            life: (asked.who).bounded(jittered(bounds.stream(), 90..=110), || state.clock.now()),
            keep_alive: bounds.keep_alive(),
        },
        first,
        place,
        meter: state.usage.of_module(asked.channels.module()),
    };
    let (state, mut sent, mut last) = (Arc::clone(state), asked.sent, 0);
    let body = sse::body(begun, move || {
        // What was added to pass the client's own cursor stays added.
        last = next_cursor(&state, sent.take()).max(last);
        last
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(sse::UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}

fn next_cursor(state: &NativeState, sent: Option<u64>) -> u64 {
    let extra = rand::random_range(1..=stream_cursor::MOST_EXTRA_S);
    stream_cursor::next(state.clock.now(), sent, extra)
}

/// How long a reader who may wait for `span` does, so that clients do not come in step. What waits takes off up to a tenth
/// by itself: up to a fifth together.
pub(super) fn patience(span: Duration) -> Duration {
    jittered(span, 89..=100)
}

/// A part of `span`, at random within these percents, so that clients do not come in step.
fn jittered(span: Duration, percents: RangeInclusive<u32>) -> Duration {
    span * rand::random_range(percents) / 100
}
