//! Changes as `CloudEvents` 1.0, after the JSON event format and the HTTP protocol binding.
//!
//! | attribute | becomes |
//! |---|---|
//! | `subject` | the key |
//! | the last word of `type` | the op |
//! | `source` and `id`, which name an event together | the change id |
//! | `time` | when it happened |
//! | extension `audience` | the audience, `*` if absent |
//! | `data` | the value: JSON, kept byte for byte |
//!
//! Other attributes are not looked at: the specification lets producers add what they like.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::item::{Draft, check, present};
use crate::domain::{Limits, Micros, ModuleName, NewChange, Op};

/// The header that tells an event in binary mode.
pub(super) const SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");

/// Last words of `type` that are understood.
const UPSERTS: [&str; 7] = [
    "upsert", "upserted", "create", "created", "update", "updated", "changed",
];
const DELETES: [&str; 4] = ["delete", "deleted", "remove", "removed"];

/// What is needed of an event's attributes.
struct Attributes<'a> {
    spec_version: Cow<'a, str>,
    id: Cow<'a, str>,
    source: Cow<'a, str>,
    kind: Cow<'a, str>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    audience: Option<Cow<'a, str>>,
}

/// An event in structured mode.
#[derive(Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    datacontenttype: Option<Cow<'a, str>>,
    #[serde(borrow)]
    audience: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    data_base64: Option<serde::de::IgnoredAny>,
}

/// Reads an event in structured mode.
pub(super) fn structured(
    module: &ModuleName,
    text: &str,
    limits: &Limits,
) -> Result<NewChange, String> {
    let event: Structured<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if event.data_base64.is_some() {
        return Err("data_base64: values are JSON, write it as `data`".to_owned());
    }
    let attributes = Attributes {
        spec_version: event.specversion,
        id: event.id,
        source: event.source,
        kind: event.r#type,
        subject: event.subject,
        time: event.time,
        content_type: event.datacontenttype,
        audience: event.audience,
    };
    change(module, &attributes, event.data, limits)
}

/// Reads an event in binary mode: attributes in headers, data in the body.
pub(super) fn binary(
    module: &ModuleName,
    headers: &HeaderMap,
    body: &str,
    limits: &Limits,
) -> Result<NewChange, String> {
    let needed = |name| attribute(headers, name)?.ok_or_else(|| format!("{name}: is missing"));
    let attributes = Attributes {
        spec_version: needed("ce-specversion")?,
        id: needed("ce-id")?,
        source: needed("ce-source")?,
        kind: needed("ce-type")?,
        subject: attribute(headers, "ce-subject")?,
        time: attribute(headers, "ce-time")?,
        content_type: attribute(headers, header::CONTENT_TYPE.as_str())?,
        audience: attribute(headers, "ce-audience")?,
    };
    let data = match body.trim() {
        "" => None,
        text => Some(serde_json::from_str(text).map_err(|error| format!("data: {error}"))?),
    };
    change(module, &attributes, data, limits)
}

/// A header's value, percent-decoded as the HTTP binding wants it.
fn attribute<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let not_text = || format!("{name}: must be UTF-8, percent-encoded where it is not ASCII");
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| not_text())?;
    let text = percent_decode_str(text).decode_utf8();
    text.map(Some).map_err(|_| not_text())
}

fn change(
    module: &ModuleName,
    event: &Attributes<'_>,
    data: Option<Box<RawValue>>,
    limits: &Limits,
) -> Result<NewChange, String> {
    check_attributes(event)?;
    let id = change_id(&event.source, &event.id, limits);
    let draft = Draft {
        key: event
            .subject
            .as_deref()
            .ok_or("subject: is missing, it becomes the key")?,
        op: op(&event.kind)?,
        value: data,
        audience: event.audience.as_deref(),
        change_id: Some(&id),
        occurred_at: event.time.as_deref().map(time).transpose()?,
    };
    check(module, draft, limits)
}

fn check_attributes(event: &Attributes<'_>) -> Result<(), String> {
    if event.spec_version != "1.0" {
        return Err("specversion: must be 1.0".to_owned());
    }
    if event.id.is_empty() {
        return Err("id: must not be empty".to_owned());
    }
    // A blank divides source and id in the change id.
    if event.source.is_empty() || event.source.contains(char::is_whitespace) {
        return Err("source: must be a URI reference".to_owned());
    }
    match event.content_type.as_deref() {
        Some(kind) if !is_json(kind) => Err(format!(
            "datacontenttype: `{}` is not JSON, and values are",
            kind.escape_debug()
        )),
        _ => Ok(()),
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

fn op(kind: &str) -> Result<Op, String> {
    let word = kind.rsplit('.').next().unwrap_or_default();
    if UPSERTS.contains(&word) {
        Ok(Op::Upsert)
    } else if DELETES.contains(&word) {
        Ok(Op::Delete)
    } else {
        Err(format!(
            "type: `{}` must end with one of {} or {}",
            kind.escape_debug(),
            UPSERTS.join(", "),
            DELETES.join(", ")
        ))
    }
}

/// Source and id, or their hash where that would be too long: the same for the same event always.
fn change_id(source: &str, id: &str, limits: &Limits) -> String {
    let both = format!("{source} {id}");
    if both.len() <= limits.change_id_bytes {
        return both;
    }
    format!("{:x}", Sha256::digest(both.as_bytes()))
}

fn time(text: &str) -> Result<Micros, String> {
    Micros::parse_rfc3339(text)
        .ok_or_else(|| "time: must be an RFC 3339 time, of 1970 or later".to_owned())
}
