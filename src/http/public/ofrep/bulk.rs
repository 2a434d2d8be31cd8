//! `POST /ofrep/v1/evaluate/flags`: all flags at once, for providers that keep them.
//!
//! Invariant: a client that comes because a stream told it so is not told by a slower replica that nothing has changed.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{self, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response,
};
use tokio::time::{Instant, sleep_until};
use utoipa::IntoParams;

use super::{Asker, OfrepState, answer::Answer, failure::Failure};
use crate::{
    http::public::{
        callers::CallsFrom,
        doors, etag,
        native::Endpoint,
        ofrep::{answer::AllEvaluated, asker::RequestBody, failure::FailureBody},
        request_body::{self, Unread},
    },
    identity::Asking,
};

/// Where it is, as its route says.
pub(super) const PATH: &str = "/ofrep/v1/evaluate/flags";

/// A request as far as it was read.
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) query: Option<&'a str>,
    pub(super) from: Option<CallsFrom>,
    pub(super) body: Result<Bytes, Unread>,
}

/// What the query may hold. Other parameters are passed over.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes what `told_tag` reads")]
pub(in crate::http::public) struct Query {
    /// The `etag` of the event that made the client ask. A replica that has not got the flags of that event yet waits for them, up to
    /// `ofrep.settle_ms`.
    #[param(rename = "flagConfigEtag")]
    flag_config_etag: Option<String>,
    /// Passed over: events have no such member.
    #[param(rename = "flagConfigLastModified")]
    flag_config_last_modified: Option<String>,
}

/// All flags, evaluated for a client.
///
/// OFREP 0.3. The answer changes only when the client is told something else; an event of `eventStreams` says when. The content type
/// of the request does not matter.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags", operation_id = "evaluateFlags", tag = "Flags",
    params(
        Query,
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of the answer that the client has"),
    ),
    request_body(content = RequestBody, content_type = "application/json"),
    responses(
        (status = 200, description = "what the client is told of each configured module", body = AllEvaluated<'static>,
            headers(("ETag" = String, description = "the hash of the body"))),
        (status = 304, description = "the client has it",
            headers(("ETag" = String, description = "as before"))),
        (status = 400, description = "the body or the context is not as it should be", body = FailureBody<'static>),
        (status = 408, description = "the body did not arrive", body = FailureBody<'static>),
        (status = 413, description = "the body is larger than `ofrep.body_bytes`", body = FailureBody<'static>),
    )
)]
pub(in crate::http::public) async fn evaluate(
    State(state): State<Arc<OfrepState>>,
    mut request: extract::Request,
) -> response::Response {
    let headers = std::mem::take(request.headers_mut());
    let uri = std::mem::take(request.uri_mut());
    let asked = Asked {
        headers: &headers,
        query: uri.query(),
        from: CallsFrom::of(&request),
        body: request_body::whole(request, state.bounds.body_patience).await,
    };
    Endpoint::Flags.answered(state.bulk(asked).await.map(Body::from))
}

/// The tag of the event that has caused a request.
fn told_tag(query: &str) -> Option<String> {
    let mut parameters = url::form_urlencoded::parse(query.as_bytes());
    let (_, tag) = parameters.find(|(name, _)| name == "flagConfigEtag")?;
    Some(tag.into_owned())
}

fn unless_held(headers: &HeaderMap, answer: Answer) -> Response<Bytes> {
    if !etag::matches(headers, &answer.hash) {
        return whole(answer);
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, answer.tag);
    response
}

fn whole(answer: Answer) -> Response<Bytes> {
    let mut response = Response::new(answer.body);
    let json = HeaderValue::from_static("application/json");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::ETAG, answer.tag);
    response
}

impl OfrepState {
    /// What is answered to a request for all flags.
    pub(super) async fn bulk(&self, question: Asked<'_>) -> Response<Bytes> {
        let answer = self.all_unless_held(question).await;
        answer.unwrap_or_else(|failure| failure.answer(None, self.bounds.identity.places()))
    }

    async fn all_unless_held(&self, question: Asked<'_>) -> Result<Response<Bytes>, Failure> {
        let asking = doors::asking(question.headers, question.query, question.from);
        let asker = self.asker(question.body, &asking, question.from).await?;
        let Some(told) = question.query.and_then(told_tag) else {
            return Ok(unless_held(question.headers, self.all(&asker)));
        };
        let answer = self.all_as_told(&asker, &told).await;
        if answer.is_told_by(&told) {
            return Ok(unless_held(question.headers, answer));
        }
        // Whatever the client holds is not what it was told of, and this may be.
        Ok(whole(answer))
    }

    /// Reads who asks.
    pub(super) async fn asker(
        &self,
        body: Result<Bytes, Unread>,
        asking: &Asking<'_>,
        from: Option<CallsFrom>,
    ) -> Result<Asker, Failure> {
        let who = self.who(asking).await?;
        let asker = Asker::read(&body?, &who, self.bounds.audience_bytes)?;
        let hidden = self.hidden(asking, &who).await;
        Ok(asker
            .calling_from(from.map(|from| from.address))
            .without(hidden)
            .ticketed(|address| self.bounds.tickets.issue(&who, address)))
    }

    /// All flags once they are those of an event, or what they are after [`Ofrep::settle`](crate::config::ofrep::Ofrep::settle).
    async fn all_as_told(&self, asker: &Asker, told: &str) -> Answer {
        let mut changes = self.changes();
        let deadline = Instant::now() + self.settings.settle();
        loop {
            let answer = self.all(asker);
            if answer.is_told_by(told) {
                return answer;
            }
            tokio::select! {
                () = changes.next() => {}
                () = sleep_until(deadline) => return answer,
                () = self.bounds.stop.cancelled() => return answer,
            }
        }
    }
}
