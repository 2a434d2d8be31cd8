//! How an endpoint says what it has to say: templates, words, statuses and headers, compiled.
//!
//! Invariant: a wording that compiled can render every answer and every error.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, VARY},
};

use super::{
    contract::{Problem, keep},
    failure::Failure,
    json,
    op_words::OpWords,
    slots::{BodySlot, ErrorSlot, ItemSlot},
    template::{Slot, Template},
};
use crate::config::{
    modules::{CursorKind, Errors, Poll},
    response::{self, Response},
};

/// The compiled answers of one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Wording {
    pub(super) body: Template<BodySlot>,
    pub(super) item: Template<ItemSlot>,
    empty: Option<Empty>,
    pub(super) ops: OpWords,
    /// Whether answers get the hash of their body as `ETag`.
    pub(super) etag: bool,
    error: Template<ErrorSlot>,
    error_status: Option<u16>,
    errors: Errors,
    content_type: HeaderValue,
    headers: Headers,
    error_headers: Headers,
}

type Headers = Box<[(HeaderName, HeaderValue)]>;

/// The answer when there is nothing.
#[derive(Debug, Clone)]
pub(super) struct Empty {
    pub(super) status: StatusCode,
    /// `None` = no body.
    pub(super) body: Option<Template<BodySlot>>,
    /// Whether it tells the client its new cursor.
    pub(super) moves_cursor: bool,
}

impl Wording {
    pub(super) fn compile(poll: &Poll, problems: &mut Vec<Problem>) -> Option<Self> {
        let response = &poll.response;
        let kind = poll.cursor.kind;
        let body = template("poll.response.body", &response.body, problems);
        let item = template("poll.response.item", &response.item, problems);
        let error = template("poll.response.error", &response.error, problems);
        let empty = empty(response, body.as_ref(), problems);
        if let (CursorKind::None, Some(item)) = (kind, &item) {
            check_state_item(item, problems);
        }
        check_statuses(response, problems);
        let content_type = HeaderValue::from_str(&response.content_type);
        let content_type = keep("poll.response.content_type", content_type, problems);
        let headers = headers("poll.response.headers", &response.headers, problems);
        let error_headers = self::headers(
            "poll.response.error_headers",
            &response.error_headers,
            problems,
        );
        let etag = etag(response, kind, body.as_ref(), problems);
        Some(Self {
            body: body?,
            item: item?,
            empty,
            ops: OpWords::compile(&poll.ops),
            etag,
            error: error?,
            error_status: response.error_status,
            errors: response.errors.clone(),
            content_type: content_type?,
            headers: with_caching(headers?, kind),
            error_headers: error_headers?,
        })
    }

    /// Status and body of the error envelope. `$status` says the real one. `called` is what the
    /// client calls the module.
    pub(super) fn refuse(&self, failure: &Failure, called: Option<&str>) -> (StatusCode, Vec<u8>) {
        let real = failure.status();
        let out = envelope(&self.error, failure, called);
        let configured = failure.status_in(&self.errors).or(self.error_status);
        let status = configured.and_then(|status| StatusCode::from_u16(status).ok());
        (status.unwrap_or(real), out)
    }

    /// The configured headers of an answer.
    pub(super) fn head(&self, headers: &mut HeaderMap, has_body: bool) {
        if has_body {
            headers.insert(CONTENT_TYPE, self.content_type.clone());
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }

    /// Those of an error.
    pub(super) fn error_head(&self, headers: &mut HeaderMap) {
        self.head(headers, true);
        for (name, value) in &self.error_headers {
            headers.insert(name, value.clone());
        }
    }

    /// Says to caches that answers are their callers' own: by which headers they are known, and, where nothing is configured, that none but
    /// the client may keep them.
    pub(super) fn keep_apart(&mut self, vary: &HeaderValue) {
        let mut headers = std::mem::take(&mut self.headers).into_vec();
        if !headers.iter().any(|(name, _)| *name == CACHE_CONTROL) {
            headers.push((CACHE_CONTROL, HeaderValue::from_static("private, no-cache")));
        }
        match headers.iter_mut().find(|(name, _)| *name == VARY) {
            Some((_, configured)) => *configured = both(configured, vary),
            None => headers.push((VARY, vary.clone())),
        }
        self.headers = headers.into();
    }

    /// The answer for nothing. Where the client must be told its cursor, only one that does: else
    /// the client would fall out of memory, where each poll costs SQL, and then out of retention.
    pub(super) fn empty(&self, must_move: bool) -> Option<&Empty> {
        let empty = self.empty.as_ref();
        empty.filter(|empty| empty.moves_cursor || !must_move)
    }

    /// The media type of bodies.
    pub(super) fn content_type(&self) -> &str {
        self.content_type.to_str().unwrap_or_default()
    }

    /// The names of the configured headers.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Those of errors.
    pub(super) fn error_header_names(&self) -> impl Iterator<Item = &str> {
        self.error_headers.iter().map(|(name, _)| name.as_str())
    }

    /// How many headers an answer may get from here.
    pub(super) const fn most_headers(&self) -> usize {
        self.headers.len() + self.error_headers.len()
    }
}

fn template<S: Slot>(
    key: &'static str,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<Template<S>> {
    keep(key, Template::compile(text), problems)
}

/// What could not be compiled is reported and left out: the contract is refused anyway.
fn empty(
    response: &Response,
    body: Option<&Template<BodySlot>>,
    problems: &mut Vec<Problem>,
) -> Option<Empty> {
    let text = response.empty.as_deref();
    if text.is_none() && response.empty_status.is_none() {
        return None;
    }
    let status = response.empty_status.unwrap_or(200);
    let body = match text {
        Some(text) if !text.is_empty() => template("poll.response.empty", text, problems),
        Some(_) => None,
        None => body.cloned(),
    };
    let body = body.filter(|_| response::has_body(status));
    let status = StatusCode::from_u16(status);
    let status = keep("poll.response.empty_status", status, problems)?;
    let uses_cursor = |body: &Template<BodySlot>| body.uses(BodySlot::Cursor);
    Some(Empty {
        status,
        moves_cursor: body.as_ref().is_some_and(uses_cursor),
        body,
    })
}

/// The body of an error envelope.
pub(super) fn envelope(
    template: &Template<ErrorSlot>,
    failure: &Failure,
    called: Option<&str>,
) -> Vec<u8> {
    let message = failure.message();
    let mut out = Vec::with_capacity(template.literal_bytes() + message.len() + 16);
    template.render(&mut out, |out, slot| match slot {
        ErrorSlot::Status => json::push_integer(out, failure.status().as_u16()),
        ErrorSlot::Message => json::push_string(out, &message),
        ErrorSlot::Module => json::push_string_or_null(out, called),
    });
    out
}

/// Answers of `kind = "none"` are states, where these would be `null` always: surely not meant.
fn check_state_item(item: &Template<ItemSlot>, problems: &mut Vec<Problem>) {
    for (name, slot) in ItemSlot::NOT_IN_STATE {
        if item.uses(slot) {
            let why = format!(
                "`{name}` is not kept in the state, which `cursor.kind = \"none\"` is answered from"
            );
            problems.push(("poll.response.item", why));
        }
    }
}

fn check_statuses(response: &Response, problems: &mut Vec<Problem>) {
    // Below 200 is no final answer; 204, 205 and 304 have no body to hold the envelope.
    let usable = |status: &u16| (200..=599).contains(status) && response::has_body(*status);
    let mut check = |key, status: Option<u16>| {
        if status.is_some_and(|status| !usable(&status)) {
            let why = "must be from 200 to 599 and a status that has a body".to_owned();
            problems.push((key, why));
        }
    };
    check("poll.response.error_status", response.error_status);
    for (_, status) in response.errors.each() {
        check("poll.response.errors", status);
    }
}

/// With `kind = "etag"` the tag is the cursor, and otherwise it is the hash of the body.
fn etag(
    response: &Response,
    kind: CursorKind,
    body: Option<&Template<BodySlot>>,
    problems: &mut Vec<Problem>,
) -> bool {
    let key = "poll.response.etag";
    let changes_always = body.is_some_and(|body| body.uses(BodySlot::ServerTimeMs));
    match (response.etag, kind) {
        (Some(true), CursorKind::Etag) => {
            let why = "`cursor.kind = \"etag\"` has a tag of its own: leave it out".to_owned();
            problems.push((key, why));
            false
        }
        (Some(true), _) if changes_always => {
            let why = "`$server_time_ms` stands in `body`: no two answers would be the same";
            problems.push((key, why.to_owned()));
            false
        }
        (Some(wanted), _) => wanted,
        (None, kind) => kind == CursorKind::None && !changes_always,
    }
}

fn headers<'a>(
    key: &'static str,
    headers: impl IntoIterator<Item = (&'a String, &'a String)>,
    problems: &mut Vec<Problem>,
) -> Option<Headers> {
    let compiled = headers.into_iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).map_err(|error| format!("{name}: {error}"))?;
        let value = HeaderValue::try_from(value).map_err(|error| format!("{name}: {error}"))?;
        Ok((name, value))
    });
    keep(key, compiled.collect::<Result<_, String>>(), problems)
}

fn both(one: &HeaderValue, other: &HeaderValue) -> HeaderValue {
    let list = [one.as_bytes(), other.as_bytes()].join(&b", "[..]);
    HeaderValue::from_bytes(&list).expect("two values and a comma may stand in a header")
}

/// With `kind = "etag"` one address has another answer for each tag: a shared cache must not keep
/// it, and the client's own has to ask.
fn with_caching(headers: Headers, kind: CursorKind) -> Headers {
    let is_said = headers.iter().any(|(name, _)| *name == CACHE_CONTROL);
    if kind != CursorKind::Etag || is_said {
        return headers;
    }
    let caching = (CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.into_iter().chain([caching]).collect()
}
