//! `GET /ofrep/v1/sse`: tells a client that its flags have changed.
//!
//! Invariants: an event comes whenever the client's own answer has another hash than the one it was told of last, which a client
//! that comes back names; one that names none gets an event at once, so nothing is lost between its first evaluation and its stream.
//! Nothing is made ahead of a client that does not read: the newest event is the only one.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{self, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};
use utoipa::{IntoParams, ToSchema};

use super::{Asker, Changes, OfrepState, answer, asker::ticket_in, failure::Failure};
use crate::{
    http::{
        Problem,
        public::{
            doors::{self, Brought},
            native::{Endpoint, pause_s},
            sse::{COMMENT, Open, UNBUFFERED},
        },
    },
    identity::Who,
};

/// The `id` of the last event that a client got.
pub(in crate::http::public) const LAST_EVENT_ID: HeaderName =
    HeaderName::from_static("last-event-id");

/// What part of the time of its caller a client has the address of a stream for, until it is made to get another one.
const RENEWED_AFTER: f64 = 0.8;

/// Longer than any stream.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

/// Whose stream it is. As it stands in `eventStreams`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it only describes what `Asker` reads")]
pub(in crate::http::public) struct Query {
    /// The client.
    #[param(min_length = 1, max_length = 128)]
    targeting_key: String,
    /// With open callers: who asks, besides everyone.
    audience: Option<String>,
    /// Its program and version.
    #[param(max_length = 256)]
    agent: Option<String>,
    /// With known callers, in place of a credential: as it stands in `eventStreams`, behind the same parameters. It is good for this address
    /// alone.
    #[param(max_length = 8192, pattern = "^[A-Za-z0-9_-]*$")]
    ticket: Option<String>,
}

/// One server-sent event: evaluate anew.
#[derive(ToSchema)]
#[schema(as = FlagEvent)]
#[expect(dead_code, reason = "it only describes what `event` writes")]
pub(in crate::http::public) struct SentEvent {
    /// What a client names in `Last-Event-ID` when it comes back.
    id: String,
    /// Always `message`.
    event: String,
    /// `{"type":"refetchEvaluation","etag"}`: the `ETag` of the answer that the client will get.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Tells a client when to evaluate its flags anew.
///
/// Server-sent events of OFREP 0.3, for one client. The address is that of `eventStreams` in its evaluation, and for nobody else.
#[utoipa::path(
    get, path = "/ofrep/v1/sse", operation_id = "watchFlags", tag = "Flags",
    params(
        Query,
        ("Last-Event-ID" = Option<String>, Header, description = "the `id` of the last event, on coming back"),
    ),
    responses(
        (status = 200, description = "events", body = SentEvent, content_type = "text/event-stream"),
        (status = 400, description = "the query is not as it should be"),
        (status = 503, description = "there are `ofrep.streams` already"),
    )
)]
pub(in crate::http::public) async fn open(
    State(state): State<Arc<OfrepState>>,
    request: extract::Request,
) -> Response {
    let begun = begin(&state, &Brought::by(&request)).await;
    Endpoint::FlagEvents.answered(begun)
}

async fn begin(state: &Arc<OfrepState>, brought: &Brought) -> Result<Response, Problem> {
    let (asker, who, has_ticket) = asker(state, brought).await.map_err(|why| match why {
        Failure::Refused(refused) => doors::problem(&state.bounds.identity, refused),
        other => Problem::new(StatusCode::BAD_REQUEST, other.to_string()),
    })?;
    let place = Arc::clone(&state.streams).try_acquire_owned();
    let place = place.map_err(|_none| {
        let why = "too many event streams are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(pause_s())
    })?;
    let seen = brought.headers.get(LAST_EVENT_ID);
    let life = state
        .settings
        .stream()
        .mul_f64(rand::random_range(0.9..=1.0));
    let now = || state.bounds.clock.now();
    let watching = Watching {
        changes: state.changes(),
        told: seen.and_then(|id| Some(id.to_str().ok()?.into())),
        // To the end of its caller, after which it would have to be known again.
        ends: Instant::now() + who.bounded(life, now),
        renews: Instant::now()
            + if has_ticket {
                who.bounded(FOR_EVER, now).mul_f64(RENEWED_AFTER)
            } else {
                FOR_EVER
            },
        begun: false,
        state: Arc::clone(state),
        asker,
        _place: place,
        _open: Open::new(),
    };
    let events = stream::unfold(watching, |mut watching| async {
        let event = watching.next().await?;
        Some((Ok::<_, Infallible>(event), watching))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}

/// Who asks, whose flags are watched, and whether a ticket says so.
async fn asker(state: &OfrepState, brought: &Brought) -> Result<(Asker, Who, bool), Failure> {
    let asking = brought.asking();
    let query = asking.query.unwrap_or_default();
    let ticket = ticket_in(query).filter(|_| !state.bounds.identity.is_open());
    let who = match ticket {
        Some((address, ticket)) => {
            let who = state.bounds.tickets.who(ticket, address)?;
            // As often as with its credential.
            who.caller()
                .map_or(Ok(()), |caller| state.bounds.identity.paced(caller))?;
            who
        }
        None => state.who(&asking).await?,
    };
    let query = ticket.map_or(query, |(address, _)| address);
    let asker = Asker::of_query(query, &who, state.bounds.audience_bytes)?;
    let hidden = state.hidden(&asking, &who).await;
    let asker = asker.calling_from(brought.address()).without(hidden);
    Ok((asker, who, ticket.is_some()))
}

/// A client's stream.
struct Watching {
    state: Arc<OfrepState>,
    asker: Asker,
    /// Asked for before the first evaluation.
    changes: Changes,
    /// The hash that the client was told last.
    told: Option<Arc<str>>,
    /// Whether anything was sent.
    begun: bool,
    ends: Instant,
    /// When the client is made to evaluate anew, whatever it is told, so that it gets another address before this one ends.
    renews: Instant,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

impl Watching {
    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            return Some(self.beginning());
        }
        let silent_until = Instant::now() + self.state.settings.keep_alive();
        loop {
            let stop = self.state.bounds.stop.clone();
            let is_silent = tokio::select! {
                () = stop.cancelled() => return None,
                () = sleep_until(self.ends) => return None,
                () = sleep_until(self.renews) => {
                    self.renews = Instant::now() + FOR_EVER;
                    self.told = None;
                    false
                }
                () = sleep_until(silent_until) => true,
                () = self.changes.next() => false,
            };
            if let Some(event) = self.news() {
                return Some(Bytes::from(event));
            }
            if is_silent {
                return Some(Bytes::from_static(COMMENT));
            }
        }
    }

    /// When to come back after the end, so that not all do at once, and what has changed already.
    fn beginning(&mut self) -> Bytes {
        let most = self.state.settings.reconnect_ms;
        let retry = rand::random_range(most / 2..=most);
        let mut beginning = format!("retry: {retry}\n\n");
        beginning.extend(self.news());
        Bytes::from(beginning)
    }

    /// An event, if the client's flags are not those that it was told of.
    fn news(&mut self) -> Option<String> {
        let hash = self.state.all(&self.asker).hash;
        if self.told.as_ref() == Some(&hash) {
            return None;
        }
        let event = event(&hash);
        self.told = Some(hash);
        Some(event)
    }
}

fn event(hash: &str) -> String {
    let tag = answer::quoted(hash);
    let data = serde_json::json!({"type": "refetchEvaluation", "etag": tag});
    format!("id: {hash}\nevent: message\ndata: {data}\n\n")
}
