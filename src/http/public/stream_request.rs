//! What a read of a stream asks for: the query of `/v1/streams/{module}`.

use axum::{extract::Path, http::StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::native::NativeState;
use crate::{
    domain::Cursor,
    http::Problem,
    identity::{Asking, Who},
    native::{Channels, Start},
};

/// What the query may hold. Other parameters are the extensions of others, and passed over.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Where to go on: a cursor, `-1` (the beginning, which is the default) or `now`. Needed with `live`.
    #[param(pattern = "^(-1|now|[0-9a-f]{8}_[0-9a-f]{16})$")]
    offset: Option<String>,
    /// Whether to wait for what comes, and how.
    #[param(value_type = Option<LiveText>, inline)]
    live: Option<String>,
    /// The `Stream-Cursor` of the client's last wait.
    cursor: Option<String>,
    /// Whose changes, besides everyone's: with open callers who asks, else one of the caller's audiences; absent = all of them.
    audience: Option<String>,
}

/// As `live` is written.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it only describes what `asked` understands")]
enum LiveText {
    LongPoll,
    Sse,
}

/// Whether a read waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    No,
    LongPoll,
    Events,
}

/// A request that can be served.
pub(super) struct Asked {
    pub(super) channels: Channels,
    pub(super) who: Who,
    pub(super) start: Start,
    pub(super) live: Live,
    /// The cursor of the client's last wait.
    pub(super) sent: Option<u64>,
}

/// Reads a request.
pub(super) async fn asked(
    state: &NativeState,
    module: Option<&Path<String>>,
    query: &Query,
    asking: &Asking<'_>,
) -> Result<Asked, Problem> {
    let name = module.map_or("", |Path(name)| name);
    let live = match query.live.as_deref() {
        None => Live::No,
        Some("long-poll") => Live::LongPoll,
        Some("sse") => Live::Events,
        Some(_) => return Err(refused("live: must be long-poll or sse")),
    };
    let start = match query.offset.as_deref() {
        None if live != Live::No => {
            return Err(refused(
                "offset: is needed with live, `-1` is the beginning",
            ));
        }
        None | Some("-1") => Start::Beginning,
        Some("now") => Start::Now,
        Some(token) => Start::After(offset(token)?),
    };
    let named = query.audience.as_deref();
    let (channels, who) = state.channels(name, named, asking).await?;
    Ok(Asked {
        channels,
        who,
        start,
        live,
        // As other servers do, what is no number counts as none.
        sent: query.cursor.as_deref().and_then(|sent| sent.parse().ok()),
    })
}

fn offset(token: &str) -> Result<Cursor, Problem> {
    let cursor = token.parse::<Cursor>();
    cursor.map_err(|why| refused(&format!("offset: {}", why.why)))
}

fn refused(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why)
}
