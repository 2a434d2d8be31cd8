//! `POST /v1/poll`: several modules in one request, with or without waiting for the first that has
//! news.
//!
//! A module that cannot be answered says why in its own place and keeps no other from its answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{self, State},
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    description::{CursorSeen, PollAnswer},
    doors::Brought,
    json::{push, push_events, push_json},
    native::{Endpoint, NativeState, bad_request, pause_s, snapshot_url},
    reader::Reader,
    request_body,
    streams::patience,
};
use crate::{
    domain::{Audience, Cursor, Invalid},
    http::Problem,
    identity::{Accepted, Refused, Who},
    log::Stale,
    native::{Asked, Channels, Page, Several, Start, Unread},
};

/// When a client that found no place to wait should come again.
pub(super) const NEXT_POLL: HeaderName = HeaderName::from_static("changeover-next-poll-ms");

/// The request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PollRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// What the client has seen of each module; null = nothing.
    #[schema(value_type = BTreeMap<String, CursorSeen>)]
    pub(super) cursors: BTreeMap<String, Option<Cursor>>,
    /// How long to wait for news; absent or 0 = not at all.
    #[serde(default)]
    #[schema(required = false)]
    pub(super) wait_ms: u64,
    /// Whose changes, besides everyone's: with open callers who asks, else one of the caller's audiences; absent = all of them.
    pub(super) audience: Option<String>,
}

/// One module of the answer, by its name in the request.
type Answered = (String, Result<(Channels, Result<Page, Unread>), NotHere>);

/// Why there is nothing to read of a module.
#[derive(Debug, Clone, Copy)]
enum NotHere {
    /// There is none of this name.
    Unknown,
    /// It takes other callers.
    Forbidden,
}

/// Several modules in one request, at once or when the first has news.
///
/// A module that cannot be answered says why in its own place: `gone` (take the snapshot), `unknown`, `forbidden` (it takes other
/// callers), `unavailable`.
/// The content type of the request does not matter.
#[utoipa::path(
    post, path = "/v1/poll", operation_id = "pollModules", tag = "Native reads",
    request_body(content = Request, content_type = "application/json"),
    params(
        ("Changeover-Client" = Option<String>, Header, description = "which client reads, as in its session: for the census"),
        ("Changeover-Transport" = Option<String>, Header, description = "`push` if changes reach it over MQTT"),
    ),
    responses(
        (status = 200, description = "each module's changes, or its error", body = PollAnswer, content_type = "application/json",
            headers(("Changeover-Next-Poll-Ms" = Option<u32>, description = "when to come again, if there was no place to wait"))),
        (status = 400, description = "the body is not as it should be"),
        (status = 408, description = "the body did not arrive"),
        (status = 413, description = "the body is larger than `native.poll_body_bytes`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "no module could be read now"),
    )
)]
pub(super) async fn poll(
    State(state): State<Arc<NativeState>>,
    request: extract::Request,
) -> Response {
    Endpoint::Poll.answered(answer(&state, request).await)
}

async fn answer(state: &NativeState, request: extract::Request) -> Result<Response, Problem> {
    let brought = Brought::by(&request);
    let who = state.who(&brought.asking(), Accepted::ALL).await?;
    let reader = Reader::new(&brought, &who).map_err(|why| state.refused(why))?;
    let request: Request = request_body::read(request, state.body_patience).await?;
    let most = state.reads.bounds().poll_modules;
    if request.cursors.is_empty() || request.cursors.len() > most {
        let why = format!("must name from 1 to {most} modules");
        return Err(bad_request(&Invalid::new("cursors", why)));
    }
    let own = state.audience(request.audience.as_deref())?;
    let wait = wait(state, request.wait_ms);
    let wait = wait.map(|wait| who.bounded(wait, || state.clock.now()));
    let (known, asked) = ask(state, &request, (&brought, &who), own.as_ref()).await?;
    for one in &asked {
        reader.note(state, &one.channels);
    }
    let several = state.reads.several(&asked, wait).await;
    count_statements(state, &asked, &several);
    let mut pages = asked
        .into_iter()
        .map(|asked| asked.channels)
        .zip(several.modules);
    let answered: Vec<Answered> = known
        .into_iter()
        .map(|(name, known)| {
            let page = known.and_then(|()| pages.next().ok_or(NotHere::Unknown));
            (name, page)
        })
        .collect();
    if let Some(problem) = nothing_at_all(state, &answered) {
        for (channels, page) in answered
            .iter()
            .filter_map(|(_, module)| module.as_ref().ok())
        {
            count(state, channels, page, 0);
        }
        return Err(problem);
    }
    let mut response = shown(state, &answered);
    if several.crowded {
        let pause = HeaderValue::from(pause_s() * 1_000);
        response.headers_mut().insert(NEXT_POLL, pause);
    }
    Ok(response)
}

fn wait(state: &NativeState, wait_ms: u64) -> Option<Duration> {
    let wait = Duration::from_millis(wait_ms).min(state.reads.bounds().max_wait());
    (!wait.is_zero()).then(|| patience(wait))
}

/// The names of the request, each with whether there is something to read, and the reads of those where there is.
async fn ask(
    state: &NativeState,
    request: &Request,
    (brought, who): (&Brought, &Who),
    named: Option<&Audience>,
) -> Result<(Vec<(String, Result<(), NotHere>)>, Vec<Asked>), Problem> {
    if named.is_some_and(|named| !who.may_read(named)) {
        return Err(state.refused(Refused::NotItsAudience));
    }
    let (mut known, mut asked) = (Vec::new(), Vec::new());
    for (name, cursor) in &request.cursors {
        let Ok(module) = state.reads.module(name) else {
            known.push((name.clone(), Err(NotHere::Unknown)));
            continue;
        };
        if !state.identity.takes(&module, &brought.asking(), who).await {
            Refused::NotThisModule.count("native");
            known.push((name.clone(), Err(NotHere::Forbidden)));
            continue;
        }
        let channels = Channels::asked(module, who, named.cloned());
        asked.push(Asked {
            channels: channels.map_err(|why| state.refused(why))?,
            start: cursor.map_or(Start::Beginning, Start::After),
        });
        known.push((name.clone(), Ok(())));
    }
    Ok((known, asked))
}

/// If there is nothing to tell but that it does not work now: the client should come back later.
fn nothing_at_all(state: &NativeState, answered: &[Answered]) -> Option<Problem> {
    let tells = |answered: &Answered| match &answered.1 {
        Ok((_, Ok(page))) => !page.is_mute(),
        Ok((_, Err(unread))) => !unread.is_passing(),
        Err(_) => true,
    };
    if answered.iter().any(tells) {
        return None;
    }
    let (channels, module) = answered
        .iter()
        .find_map(|(_, module)| module.as_ref().ok())?;
    let away = Unread::Stale(Stale);
    Some(state.refusal(channels, module.as_ref().err().unwrap_or(&away)))
}

fn count_statements(state: &NativeState, asked: &[Asked], several: &Several) {
    for (asked, statements) in asked.iter().zip(&several.statements) {
        let meter = state.usage.of_module(asked.channels.module());
        if *statements > 0 {
            meter.push.reads.add_statements(*statements);
            meter.push.reads.add_from_database();
        }
    }
}

/// What of the answer is of a module is counted for it.
fn count(state: &NativeState, channels: &Channels, page: &Result<Page, Unread>, bytes: usize) {
    let meter = state.usage.of_module(channels.module());
    let tally = match page {
        Ok(page) if page.changes.is_empty() => &meter.push.reads.idle,
        Ok(_) => &meter.push.reads.news,
        Err(_) => &meter.push.reads.refused,
    };
    tally.add(bytes);
}

fn shown(state: &NativeState, answered: &[Answered]) -> Response {
    let mut body = BytesMut::new();
    body.put_slice(br#"{"modules":{"#);
    for (n, (name, module)) in answered.iter().enumerate() {
        if n > 0 {
            body.put_u8(b',');
        }
        push_json(&mut body, name);
        body.put_u8(b':');
        let before = body.len();
        match module {
            Err(NotHere::Unknown) => body.put_slice(br#"{"error":"unknown"}"#),
            Err(NotHere::Forbidden) => body.put_slice(br#"{"error":"forbidden"}"#),
            Ok((channels, Ok(page))) => push_page(&mut body, channels, page),
            Ok((channels, Err(unread))) => push_error(&mut body, state, channels, unread),
        }
        if let Ok((channels, page)) = module {
            count(state, channels, page, body.len() - before);
        }
    }
    body.put_slice(b"}}");
    let mut response = Response::new(Body::from(body.freeze()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn push_page(body: &mut BytesMut, channels: &Channels, page: &Page) {
    push!(body, r#"{{"cursor":"{}","changes":"#, page.cursor);
    push_events(body, channels.module(), page);
    push!(body, r#","has_more":{}}}"#, !page.is_up_to_date());
}

fn push_error(body: &mut BytesMut, state: &NativeState, channels: &Channels, unread: &Unread) {
    match unread {
        Unread::Gone => {
            let url = state.reads.keeps_state(channels.module());
            let url = url.then(|| snapshot_url(channels));
            body.put_slice(br#"{"error":"gone","snapshot":"#);
            push_json(body, &url);
            body.put_u8(b'}');
        }
        Unread::UnknownModule | Unread::NoState => body.put_slice(br#"{"error":"unknown"}"#),
        Unread::Busy(_) | Unread::Crowded(_) | Unread::Stale(_) | Unread::Database(_) => {
            // Logged here, once.
            let _problem = state.refusal(channels, unread);
            body.put_slice(br#"{"error":"unavailable"}"#);
        }
    }
}
