//! How changes are written in a request: for the description only, because ingest reads them without
//! copying their values.

use utoipa::ToSchema;

/// One change, or several.
#[derive(ToSchema)]
#[schema(as = Changes)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes what ingest reads")]
pub(super) enum Changes {
    One(Change),
    Many(Vec<Change>),
}

/// One change.
#[derive(ToSchema)]
#[schema(as = NewChange)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what ingest reads")]
#[expect(
    clippy::struct_field_names,
    reason = "producers write the names like this"
)]
pub(super) struct Change {
    /// What has changed: 1 to `limits.key_bytes` bytes without control characters.
    #[schema(min_length = 1)]
    key: String,
    /// What it is now: any JSON, kept byte for byte. Only a delete needs none.
    value: Option<serde_json::Value>,
    /// For whom: an account, a group, or `*` for everyone, which is the default. At most `limits.audience_bytes`.
    #[schema(min_length = 1)]
    audience: Option<String>,
    /// `upsert`, which is the default, or `delete`.
    op: Option<Op>,
    /// Makes a repeat known as such; at most `limits.change_id_bytes`.
    #[schema(min_length = 1)]
    change_id: Option<String>,
    /// When it happened, in milliseconds since 1970.
    occurred_at_ms: Option<i64>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes what ingest reads")]
pub(super) enum Op {
    Upsert,
    Delete,
}

/// A `CloudEvent` 1.0 that is a change. Further attributes are allowed, and not looked at.
#[derive(ToSchema)]
#[schema(as = IngestEvent)]
#[expect(dead_code, reason = "it only describes what ingest reads")]
pub(super) struct Event {
    #[schema(pattern = "^1\\.0$")]
    specversion: String,
    /// With `source` it makes a repeat known as such.
    #[schema(min_length = 1)]
    id: String,
    #[schema(min_length = 1, pattern = "^\\S+$")]
    source: String,
    /// Ends with what has happened.
    #[schema(
        pattern = "(^|\\.)(upsert|upserted|create|created|update|updated|changed|delete|deleted|remove|removed)$",
        example = "com.example.order.updated"
    )]
    r#type: String,
    /// The key.
    #[schema(min_length = 1)]
    subject: String,
    /// When it happened: RFC 3339, of 1970 or later.
    time: Option<String>,
    /// JSON of some kind.
    #[schema(example = "application/json")]
    datacontenttype: Option<String>,
    /// For whom; `*`, which is everyone, if absent.
    #[schema(min_length = 1)]
    audience: Option<String>,
    /// The value. Only a delete needs none.
    data: Option<serde_json::Value>,
}
