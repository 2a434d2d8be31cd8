//! `POST /v1/modules/{module}/changes`: changes from back ends.
//!
//! One object, an array, or NDJSON. Answered 202 after the durable commit; one bad item refuses
//! the whole request and is named by its index.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{PrivateState, known_module};
use crate::{
    domain::{Audience, JsonText, Limits, Micros, ModuleName, NewChange, Op},
    http::Problem,
    log::Refusal,
};

/// The answer to stored changes.
#[derive(Debug, Serialize)]
pub struct Accepted {
    accepted: usize,
}

/// One change of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    key: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
    audience: Option<String>,
    op: Option<String>,
    change_id: Option<String>,
    occurred_at_ms: Option<i64>,
}

/// `"value": null` is a value; only an absent member is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// How the changes of a body are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Lines,
}

/// Stores changes.
pub async fn ingest(
    State(state): State<PrivateState>,
    Path(module): Path<String>,
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
    let changes = parse(&module, media, &body, &state.limits)
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
        "application/json" => Ok(Media::Json),
        "application/x-ndjson" => Ok(Media::Lines),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/json or application/x-ndjson",
        )),
    }
}

fn problem(refusal: &Refusal) -> Problem {
    let (status, retry_after) = match refusal {
        Refusal::Full => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
        Refusal::Unavailable | Refusal::Stopping => (
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
    };
    let change = |(index, item): (usize, &str)| {
        change(module, item, limits).map_err(|why| format!("item {index}: {why}"))
    };
    items.into_iter().enumerate().map(change).collect()
}

/// The texts of an array's items, or the one object.
fn split_json(text: &str) -> Result<Vec<&str>, String> {
    if !text.trim_start().starts_with('[') {
        return Ok(vec![text]);
    }
    let items: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| format!("the body is not a JSON array: {error}"))?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

fn change(module: &ModuleName, item: &str, limits: &Limits) -> Result<NewChange, String> {
    let item: Item = serde_json::from_str(item).map_err(|error| error.to_string())?;
    let op: Op = item
        .op
        .as_deref()
        .unwrap_or("upsert")
        .parse()
        .map_err(say)?;
    let value = match (item.value, op) {
        (Some(value), _) => JsonText::from(value),
        (None, Op::Delete) => JsonText::null(),
        (None, Op::Upsert) => return Err("value: is missing, only a delete needs none".to_owned()),
    };
    let audience = item.audience.as_deref().unwrap_or(Audience::EVERYONE);
    NewChange::check_key(&item.key, limits).map_err(say)?;
    NewChange::check_value_size(value.as_str(), limits).map_err(say)?;
    if let Some(id) = &item.change_id {
        NewChange::check_change_id(id, limits).map_err(say)?;
    }
    Ok(NewChange {
        module: module.clone(),
        audience: Audience::new(audience, limits.audience_bytes).map_err(say)?,
        key: item.key.into(),
        op,
        value,
        change_id: item.change_id.map(Into::into),
        occurred_at: item.occurred_at_ms.map(micros).transpose()?,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is handed to map_err as it is"
)]
fn say(invalid: crate::domain::Invalid) -> String {
    invalid.to_string()
}

fn micros(millis: i64) -> Result<Micros, String> {
    let micros = millis.checked_mul(1_000).map(Micros::new);
    micros.ok_or_else(|| "occurred_at_ms: is out of range".to_owned())
}
