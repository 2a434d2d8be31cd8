//! `POST /v1/modules/{module}/changes`: changes from back ends.
//!
//! One object, an array, NDJSON, or `CloudEvents`. Answered 202 after the durable commit; one bad
//! item refuses the whole request and is named by its index.

mod cloudevents;
mod description;
mod item;
#[cfg(any(test, fuzzing))]
pub mod strangers;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use description::{Changes, Event};

use super::{PrivateState, known_module};
use crate::{
    domain::{Limits, ModuleName, NewChange},
    http::{Problem, path::PathOf},
    log::Refusal,
};

/// The answer to stored changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    accepted: usize,
}

/// How the changes stand in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Lines,
    /// One event, structured.
    Event,
    /// An array of structured events.
    Events,
    /// One event: attributes in headers, data in the body.
    BinaryEvent,
}

/// Stores changes.
///
/// One object or an array of them, one a line, or CloudEvents in each of their modes: `subject` is the key, the last
/// word of `type` the op, `source` and `id` the change id, the extension `audience` the audience. The same change id
/// again is accepted and stored once. In binary mode the attributes stand in `ce-` headers and any JSON is the body.
#[utoipa::path(
    post, path = "/v1/modules/{module}/changes", operation_id = "ingestChanges", tag = "Ingest",
    params(
        ("module" = String, Path, description = "a configured module"),
        ("ce-specversion" = Option<String>, Header, description = "`1.0`: this is a CloudEvent in binary mode, `ce-id`, `ce-source`, `ce-type` and `ce-subject` stand beside it"),
    ),
    request_body(content(
        (Changes = "application/json"),
        (String = "application/x-ndjson"),
        (Event = "application/cloudevents+json"),
        (Vec<Event> = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 202, description = "durably stored, all of them", body = Accepted),
        (status = 400, description = "one is not as it should be, by its index; none is stored"),
        (status = 404, description = "no such module"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is of no known kind"),
        (status = 429, description = "too many changes wait to be stored"),
        (status = 503, description = "the database does not answer or has no room, or the gateway stops"),
    )
)]
pub async fn ingest(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let module = known_module(&state.flags, &module)?;
    let media = media(&headers)?;
    let body = body.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            format!(
                "the body could not be read: it may have at most {} bytes (ingest.body_bytes)",
                state.ingest_body_bytes
            ),
        )
    })?;
    let changes = parse(&module, media, &headers, &body, &state.limits)
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    let accepted = changes.len();
    state.ingest.store(changes).await.map_err(|r| problem(&r))?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { accepted })))
}

fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/cloudevents+json" => Ok(Media::Event),
        "application/cloudevents-batch+json" => Ok(Media::Events),
        // In binary mode the content type is the data's, and a delete may have none.
        _ if headers.contains_key(cloudevents::SPEC_VERSION) => Ok(Media::BinaryEvent),
        "application/json" => Ok(Media::Json),
        "application/x-ndjson" => Ok(Media::Lines),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/json, application/x-ndjson, application/cloudevents+json \
             or application/cloudevents-batch+json, or the headers those of a CloudEvent in binary mode",
        )),
    }
}

fn problem(refusal: &Refusal) -> Problem {
    let (status, retry_after) = match refusal {
        Refusal::Full => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
        Refusal::Unavailable | Refusal::NoRoom | Refusal::Stopping => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some(super::RETRY_AFTER_SECS),
        ),
        Refusal::Refused(_) => (StatusCode::BAD_REQUEST, None),
    };
    let problem = Problem::new(status, refusal.to_string());
    match retry_after {
        Some(secs) => problem.retry_after(secs),
        None => problem,
    }
}

fn parse(
    module: &ModuleName,
    media: Media,
    headers: &HeaderMap,
    body: &[u8],
    limits: &Limits,
) -> Result<Vec<NewChange>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let items = match media {
        Media::Json => split_json(text)?,
        Media::Lines => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect(),
        Media::Event | Media::BinaryEvent => vec![text],
        Media::Events => split_array(text)?,
    };
    let change = |(index, item): (usize, &str)| {
        let change = match media {
            Media::Json | Media::Lines => item::change(module, item, limits),
            Media::Event | Media::Events => cloudevents::structured(module, item, limits),
            Media::BinaryEvent => cloudevents::binary(module, headers, item, limits),
        };
        change.map_err(|why| format!("item {index}: {why}"))
    };
    items.into_iter().enumerate().map(change).collect()
}

/// The texts of an array's items, or the one object.
fn split_json(text: &str) -> Result<Vec<&str>, String> {
    if !text.trim_start().starts_with('[') {
        return Ok(vec![text]);
    }
    split_array(text)
}

fn split_array(text: &str) -> Result<Vec<&str>, String> {
    let items: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| format!("the body is not a JSON array: {error}"))?;
    Ok(items.into_iter().map(RawValue::get).collect())
}
