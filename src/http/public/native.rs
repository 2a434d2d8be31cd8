//! What the native endpoints share: who asks, how a refusal reads, and the headers of every answer.
//!
//! Invariant: an answer that does not say how long it may be kept is not kept.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{cors, doors, poll, session, snapshot, stream_page, streams, used};
use crate::{
    cutover::{Adviser, Census},
    domain::{Audience, Clock, ModuleName},
    http::Problem,
    identity::{Accepted, Asking, Identity, Refused, Who},
    mirror::Sessions,
    native::{Channels, Reads, Unread},
    store,
    telemetry::{metric, usage::Usage},
};

/// What the native endpoints ask.
pub struct NativeState {
    /// Catch-up, waits, snapshots.
    pub reads: Arc<Reads>,
    /// What clients on push need.
    pub sessions: Arc<Sessions>,
    /// Who may ask.
    pub identity: Arc<Identity>,
    /// What clients are told.
    pub adviser: Arc<Adviser>,
    /// Where it is noted who reads.
    pub census: Arc<Census>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How long the body of a request may take.
    pub body_patience: Duration,
    /// The longest audience that a caller may name.
    pub audience_bytes: usize,
    /// Largest body of a request for a session.
    pub session_body_bytes: usize,
    /// Where it is counted what reads cost.
    pub usage: Arc<Usage>,
    /// Web pages of which origins may ask; `*` for all.
    pub cors_origins: Vec<String>,
}

/// The routes below `/v1`.
pub fn routes(state: NativeState) -> Router {
    let cors = cors::layer(&state.cors_origins, &state.identity);
    let vary = state.identity.places().vary().clone();
    let body = DefaultBodyLimit::max(state.reads.bounds().poll_body_bytes);
    let session_body = DefaultBodyLimit::max(state.session_body_bytes);
    let routes = Router::new()
        .route("/v1/session", post(session::open).layer(session_body))
        .layer(middleware::from_fn_with_state(
            state.usage.of_others(),
            used::count_others,
        ))
        .route("/v1/poll", post(poll::poll).layer(body))
        .route("/v1/modules/{module}/snapshot", get(snapshot::snapshot))
        .route(
            "/v1/streams/{module}",
            get(streams::read).head(streams::head),
        )
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(vary, with_safe_headers))
        .with_state(Arc::new(state));
    match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}

pub(super) async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
    )
}

/// Makes every answer safe. The state is what `Vary` says.
pub(super) async fn with_safe_headers(
    State(vary): State<HeaderValue>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    make_safe(response.headers_mut(), &vary);
    response
}

/// What every answer says besides.
pub(super) fn make_safe(headers: &mut HeaderMap, vary: &HeaderValue) {
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.append(header::VARY, vary.clone());
    let fallback = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fallback);
}

/// Who can say how often which endpoint answered what.
#[derive(Debug, Clone, Copy)]
pub(super) enum Endpoint {
    CatchUp,
    LongPoll,
    Events,
    Head,
    Poll,
    Session,
    Snapshot,
    Flag,
    Flags,
    FlagEvents,
}

impl Endpoint {
    const fn label(self) -> &'static str {
        match self {
            Self::CatchUp => "catchup",
            Self::LongPoll => "long-poll",
            Self::Events => "sse",
            Self::Head => "head",
            Self::Poll => "poll",
            Self::Session => "session",
            Self::Snapshot => "snapshot",
            Self::Flag => "ofrep-flag",
            Self::Flags => "ofrep-flags",
            Self::FlagEvents => "ofrep-sse",
        }
    }

    /// Counts an answer, and hands it on.
    pub(super) fn answered(self, answer: impl IntoResponse) -> Response {
        let response = answer.into_response();
        self.count(response.status());
        response
    }

    /// Counts an answer.
    pub(super) fn count(self, status: StatusCode) {
        let answer = match status {
            StatusCode::OK => "ok",
            StatusCode::NO_CONTENT => "idle",
            StatusCode::NOT_MODIFIED => "not_modified",
            StatusCode::GONE => "gone",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_client_error() => "refused",
            _ => "error",
        };
        metrics::counter!(metric::NATIVE_READS, "endpoint" => self.label(), "answer" => answer)
            .increment(1);
    }
}

impl NativeState {
    /// The channels of a request for one module, and who asks. With open callers the request says so; with others it may name one of
    /// the caller's audiences, and is about all of them if it names none. Which modules there are is told to callers only.
    pub(super) async fn channels(
        &self,
        module: &str,
        named: Option<&str>,
        asking: &Asking<'_>,
    ) -> Result<(Channels, Who), Problem> {
        let known = self.reads.module(module);
        let accepted = known
            .as_ref()
            .map(|module| self.identity.accepted_by(module));
        let who = self.who(asking, accepted.unwrap_or(Accepted::ALL)).await?;
        let module = known.map_err(|unread| refusal(&unread, None))?;
        let named = self.audience(named)?;
        let channels = Channels::asked(module, &who, named);
        Ok((channels.map_err(|why| self.refused(why))?, who))
    }

    /// Who asks, by one of these callers.
    pub(super) async fn who(
        &self,
        asking: &Asking<'_>,
        accepted: Accepted,
    ) -> Result<Who, Problem> {
        let who = doors::who(&self.identity, asking, accepted).await;
        who.map_err(|why| self.refused(why))
    }

    /// Why a caller gets nothing.
    pub(super) fn refused(&self, why: Refused) -> Problem {
        doors::problem(&self.identity, why)
    }

    pub(super) fn audience(&self, text: Option<&str>) -> Result<Option<Audience>, Problem> {
        let checked = text.map(|text| Audience::new(text, self.audience_bytes));
        checked.transpose().map_err(|why| bad_request(&why))
    }

    /// Why a read of these channels was not answered. The cause of a failure is logged here, once.
    pub(super) fn refusal(&self, channels: &Channels, unread: &Unread) -> Problem {
        if let Unread::Database(error) = unread {
            tracing::warn!(module = %channels.module(), error = ?error, "a native read needed the database");
        }
        let state = self.reads.keeps_state(channels.module());
        refusal(unread, state.then(|| snapshot_url(channels)))
    }
}

/// Where the snapshot of these channels begins, relative to this server.
pub(super) fn snapshot_url(channels: &Channels) -> String {
    let module: &ModuleName = channels.module();
    match channels.named() {
        Some(own) => format!(
            "/v1/modules/{module}/snapshot?audience={}",
            utf8_percent_encode(own.as_str(), NON_ALPHANUMERIC)
        ),
        None => format!("/v1/modules/{module}/snapshot"),
    }
}

/// A value of the request that may not be.
pub(super) fn bad_request(why: &crate::domain::Invalid) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why.to_string())
}

fn refusal(unread: &Unread, snapshot: Option<String>) -> Problem {
    match unread {
        Unread::UnknownModule => Problem::new(
            StatusCode::NOT_FOUND,
            "no module of this name is configured",
        ),
        Unread::NoState => Problem::new(
            StatusCode::NOT_FOUND,
            "this module keeps no state, so there is no snapshot of it",
        ),
        Unread::Gone => gone(snapshot),
        Unread::Busy(busy) => unavailable("too many reads at once").retry_after(busy.retry_after_s),
        Unread::Crowded(_) => unavailable("too many readers wait already"),
        Unread::Stale(_) => unavailable("the database does not answer"),
        Unread::Database(store::Error::StateNotWhole { .. }) => {
            unavailable("the state of this module is not whole now")
        }
        Unread::Database(error) if error.is_transient() => {
            unavailable("the database does not answer")
        }
        Unread::Database(_) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the database failed in an unexpected way, see the log",
        ),
    }
}

fn gone(snapshot: Option<String>) -> Problem {
    let text = "the log does not reach back so far, or began anew";
    let Some(url) = snapshot else {
        let text = format!("{text}: begin again without offset");
        return Problem::new(StatusCode::GONE, text);
    };
    let text = format!("{text}: take the snapshot, then go on at its cursor");
    let problem = Problem::new(StatusCode::GONE, text);
    match HeaderValue::try_from(url) {
        Ok(url) => problem.header(header::LOCATION, url),
        Err(_invalid) => problem,
    }
}

fn unavailable(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(pause_s())
}

/// When to come back, at random so that not all come at once.
pub(super) fn pause_s() -> u32 {
    rand::random_range(6..=10)
}

/// The names that pages of other origins may read.
pub(super) const EXPOSED: [HeaderName; 7] = [
    stream_page::NEXT_OFFSET,
    stream_page::UP_TO_DATE,
    streams::CURSOR,
    poll::NEXT_POLL,
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
];
