//! A page of a stream as an answer: its body, where to go on, and how long it may be kept.
//!
//! Invariants: what is only for callers that are known is never said to be public; an answer that reaches the end of the log is kept by nobody, since it would hide what comes after it.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::BytesMut;

use super::{etag, json::push_events, native::NativeState, stream_request::Asked, used};
use crate::{
    domain::Cursor,
    native::{Channels, Page, Start},
};

/// Where to go on.
pub(super) const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
/// There was nothing more.
pub(super) const UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");

/// Nobody keeps it.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PRIVATE: HeaderValue =
    HeaderValue::from_static("private, max-age=60, stale-while-revalidate=300");
const PUBLIC: HeaderValue =
    HeaderValue::from_static("public, max-age=60, stale-while-revalidate=300");

/// 200 with a page, or 304 if the client has it.
pub(super) fn paged(state: &NativeState, asked: &Asked, page: &Page, sent: &HeaderMap) -> Response {
    let tag = (asked.start != Start::Now).then(|| etag::of(page));
    let known = tag.as_ref().is_some_and(|tag| etag::matches(sent, tag));
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        let mut body = BytesMut::new();
        push_events(&mut body, asked.channels.module(), page);
        (StatusCode::OK, Body::from(body.freeze()))
    };
    let mut response = response(status, page.cursor, body);
    let headers = response.headers_mut();
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    if page.is_up_to_date() {
        headers.insert(UP_TO_DATE, HeaderValue::from_static("true"));
    }
    headers.insert(header::CACHE_CONTROL, keep(state, &asked.channels, page));
    if page.changes.is_empty() {
        response.extensions_mut().insert(used::NothingNew);
    }
    response
}

/// Only a page that was cut may be kept: what it holds will not change, and another follows it. One that
/// reaches the end of the log would hide what came after it.
fn keep(state: &NativeState, channels: &Channels, page: &Page) -> HeaderValue {
    if !page.cut {
        NO_STORE
    } else if state.identity.is_open() && state.reads.is_for_everyone(channels) {
        PUBLIC
    } else {
        PRIVATE
    }
}

/// An answer that says where to go on.
pub(super) fn response(status: StatusCode, next: Cursor, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Ok(next) = HeaderValue::try_from(next.to_string()) {
        headers.insert(NEXT_OFFSET, next);
    }
    response
}
