//! The description of the public listener: its own endpoints, and the configured ones.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::{OpenApi, ToSchema};

use super::{
    PublicState, legacy_description, ofrep, poll, security_description, session, snapshot, streams,
};
use crate::{
    domain::ModuleName,
    http::{
        description::{self, Document, Documents},
        problem::Body9457,
    },
    mirror::ChangeEvent,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "changeover, the public listener",
        description = "The configured polls of old clients, and catch-up for all others. Every refusal but those of the configured polls and of flag evaluations is a \
            problem (RFC 9457); an unknown path is 404, another method than those described 405 with `Allow`. `GET` endpoints \
            answer `HEAD` too.",
    ),
    paths(
        description::asyncapi,
        description::openapi,
        super::healthz,
        ofrep::bulk::evaluate,
        ofrep::single::evaluate,
        ofrep::stream::open,
        poll::poll,
        session::open,
        snapshot::snapshot,
        streams::head,
        streams::read,
    ),
    components(schemas(Body9457)),
    tags(
        (name = "Legacy polls", description = "as configured, for old clients"),
        (name = "Native reads", description = "for clients that know the log"),
        (name = "Push", description = "for clients that connect to a broker"),
        (name = "Flags", description = "for clients with an OpenFeature SDK"),
        (name = "Operations", description = "is it well"),
        (name = "Descriptions", description = "of the interfaces"),
    )
)]
struct Api;

/// What the listener says about itself.
pub(super) fn documents(state: &PublicState) -> Documents {
    let mut api = Api::openapi();
    let modules = state.modules.iter().map(ModuleName::as_str);
    security_description::refuse(&mut api, &state.identity);
    let walls = [
        (StatusCode::URI_TOO_LONG, "path and query are too long"),
        (
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests come from this address or caller",
        ),
    ];
    description::complete(&mut api, &walls, modules);
    legacy_description::add(&mut api.paths, &state.endpoints);
    security_description::ask(&mut api, &state.identity);
    Documents {
        openapi: Document::new(&api),
        asyncapi: Document::new(&*state.asyncapi),
    }
}

/// Epoch and position as one token that sorts as the log does.
#[derive(ToSchema)]
#[schema(as = Cursor, pattern = "^[0-9a-f]{8}_[0-9a-f]{16}$", example = "00000001_000000000000002a")]
#[expect(dead_code, reason = "it only describes how a cursor is written")]
pub(super) struct CursorText(String);

/// A cursor, or null: nothing was seen.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9a-f]{8}_[0-9a-f]{16}$")]
#[expect(dead_code, reason = "it only describes how a cursor is written")]
pub(super) struct CursorSeen(Option<String>);

/// The answer to a poll of several modules.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `poll` writes")]
pub(super) struct PollAnswer {
    /// Those of the request, by their names in it.
    modules: BTreeMap<String, PolledModule>,
}

#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes what `poll` writes")]
enum PolledModule {
    Page(PolledPage),
    Error(PolledError),
}

/// What came after the cursor of the request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `poll` writes")]
struct PolledPage {
    /// For the next request.
    cursor: CursorText,
    changes: Vec<ChangeEvent>,
    /// Whether there is more already.
    has_more: bool,
}

/// Why a module was not answered.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `poll` writes")]
struct PolledError {
    error: PollErrorWord,
    /// With `gone`: where to begin again; null if the module keeps no state.
    snapshot: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes what `poll` writes")]
enum PollErrorWord {
    Gone,
    Unknown,
    Forbidden,
    Unavailable,
}

/// One server-sent event of a stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `sse` writes")]
pub(super) struct SentEvent {
    event: SentEventName,
    /// With `data` an array of changes. With `control` `{"streamNextOffset","streamCursor","upToDate"?}`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes what `sse` writes")]
enum SentEventName {
    Data,
    Control,
}

/// A page of a snapshot.
#[derive(ToSchema)]
#[schema(as = SnapshotPage)]
#[expect(dead_code, reason = "it only describes what `snapshot` writes")]
pub(super) struct SnapshotAnswer {
    cursor: CursorText,
    items: Vec<SnapshotItem>,
    /// Where the next page is; null: this is the last.
    #[schema(required = true)]
    next: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `snapshot` writes")]
struct SnapshotItem {
    key: String,
    audience: String,
    position: u64,
    value: serde_json::Value,
}
