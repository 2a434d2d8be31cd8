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
    callers::CallsFrom,
    description::{CursorSeen, PollAnswer},
    json::{push, push_events, push_json},
    native::{Endpoint, NativeState, bad_request, pause_s, snapshot_url},
    reader::Reader,
    request_body,
    streams::patience,
};
use crate::{
    domain::{Audience, Cursor, Invalid},
    http::Problem,
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
    cursors: BTreeMap<String, Option<Cursor>>,
    /// How long to wait for news; absent or 0 = not at all.
    #[serde(default)]
    #[schema(required = false)]
    wait_ms: u64,
    /// With open callers: who asks, besides everyone.
    audience: Option<String>,
}

/// One module of the answer, by its name in the request.
type Answered = (String, Option<(Channels, Result<Page, Unread>)>);

/// Several modules in one request, at once or when the first has news.
///
/// A module that cannot be answered says why in its own place: `gone` (take the snapshot), `unknown`, `unavailable`.
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
    let (headers, address) = (request.headers().clone(), CallsFrom::of(&request));
    let request: Request = request_body::read(request, state.body_patience).await?;
    let most = state.reads.bounds().poll_modules;
    if request.cursors.is_empty() || request.cursors.len() > most {
        let why = format!("must name from 1 to {most} modules");
        return Err(bad_request(&Invalid::new("cursors", why)));
    }
    let own = state.audience(request.audience.as_deref())?;
    let wait = wait(state, request.wait_ms);
    let (known, asked) = ask(state, &request, own.as_ref());
    for one in &asked {
        Reader::new(&headers, address).note(state, &one.channels);
    }
    let several = state.reads.several(&asked, wait).await;
    count_statements(state, &asked, &several);
    let mut pages = asked
        .into_iter()
        .map(|asked| asked.channels)
        .zip(several.modules);
    let answered: Vec<Answered> = known
        .into_iter()
        .map(|(name, known)| (name, known.then(|| pages.next()).flatten()))
        .collect();
    if let Some(problem) = nothing_at_all(state, &answered) {
        for (channels, page) in answered.iter().filter_map(|(_, module)| module.as_ref()) {
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

/// The names of the request, each with whether it is of a module, and the reads of those that are.
fn ask(
    state: &NativeState,
    request: &Request,
    own: Option<&Audience>,
) -> (Vec<(String, bool)>, Vec<Asked>) {
    let mut asked = Vec::new();
    let known = request.cursors.iter().map(|(name, cursor)| {
        let module = state.reads.module(name).ok();
        let is_known = module.is_some();
        asked.extend(module.map(|module| Asked {
            channels: Channels::new(module, own.cloned()),
            start: cursor.map_or(Start::Beginning, Start::After),
        }));
        (name.clone(), is_known)
    });
    (known.collect(), asked)
}

/// If there is nothing to tell but that it does not work now: the client should come back later.
fn nothing_at_all(state: &NativeState, answered: &[Answered]) -> Option<Problem> {
    let tells = |answered: &Answered| match &answered.1 {
        Some((_, Ok(page))) => !page.is_mute(),
        Some((_, Err(unread))) => !unread.is_passing(),
        None => true,
    };
    if answered.iter().any(tells) {
        return None;
    }
    let (channels, module) = answered.iter().find_map(|(_, module)| module.as_ref())?;
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
            None => body.put_slice(br#"{"error":"unknown"}"#),
            Some((channels, Ok(page))) => push_page(&mut body, channels, page),
            Some((channels, Err(unread))) => push_error(&mut body, state, channels, unread),
        }
        if let Some((channels, page)) = module {
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
