//! The contract of a legacy endpoint: its configuration, checked and compiled.
//!
//! Invariant: a contract that compiled cannot fail on a request for a reason that its
//! configuration could have told.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::{
    audiences::Audiences,
    failure::Failure,
    json,
    request::Fields,
    slots::{BodySlot, ErrorSlot, ItemSlot},
    source::Source,
    sunset::Notice,
    template::{Slot, Template},
    wait::Wait,
};
use crate::{
    config::modules::{AudienceField, CursorKind, LimitField, Method, Module, Place, Poll},
    config::{steer::Steer, wait::WaitField},
    domain::{Audience, Limits, ModuleName},
};

/// What is wrong with a contract: the key below `modules[]`, and why.
pub type Problem = (&'static str, String);

/// The contract of one module's legacy endpoint.
#[derive(Debug, Clone)]
pub struct Contract {
    pub(super) module: ModuleName,
    pub(super) path: String,
    pub(super) methods: Vec<Method>,
    pub(super) fields: Fields,
    pub(super) body: Template<BodySlot>,
    pub(super) item: Template<ItemSlot>,
    error: Template<ErrorSlot>,
    error_status: Option<StatusCode>,
    pub(super) next_poll_ms: u64,
    pub(super) steer: Option<Steer>,
    pub(super) floor: Duration,
    pub(super) sunset: Notice,
    pub(super) state: bool,
}

impl Contract {
    /// Compiles the contract of a module; `None` if it has no endpoint. Reports every problem of
    /// the keys `name`, `poll.…` and `sunset.…`, and no other.
    pub fn compile(module: &Module, limits: &Limits) -> Result<Option<Self>, Vec<Problem>> {
        let mut problems = Vec::new();
        let sunset = Notice::compile(&module.sunset, &mut problems);
        let compiled = match &module.poll {
            Some(poll) => compile(module, poll, sunset, limits, &mut problems),
            None => None,
        };
        if problems.is_empty() {
            Ok(compiled)
        } else {
            Err(problems)
        }
    }

    /// The module that is polled.
    pub const fn module(&self) -> &ModuleName {
        &self.module
    }

    /// The path, with `{name}` for a captured segment.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The methods.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whether values come from the path.
    pub fn captures(&self) -> bool {
        self.path.contains('{')
    }

    /// Status and body of the error envelope.
    pub(super) fn refuse(&self, failure: &Failure) -> (StatusCode, Vec<u8>) {
        let status = failure.status();
        let message = failure.message();
        let mut out = Vec::with_capacity(self.error.literal_bytes() + message.len() + 16);
        self.error.render(&mut out, |out, slot| match slot {
            ErrorSlot::Status => json::push_integer(out, status.as_u16()),
            ErrorSlot::Message => json::push_string(out, &message),
        });
        (self.error_status.unwrap_or(status), out)
    }
}

fn compile(
    module: &Module,
    poll: &Poll,
    sunset: Notice,
    limits: &Limits,
    problems: &mut Vec<Problem>,
) -> Option<Contract> {
    check_path(&poll.path, problems);
    check_methods(&poll.methods, problems);
    let name = keep("name", module.name.parse::<ModuleName>(), problems);
    let fields = fields(poll, limits, problems);
    let body = template("poll.response.body", &poll.response.body, problems);
    let item = template("poll.response.item", &poll.response.item, problems);
    let error = template("poll.response.error", &poll.response.error, problems);
    let error_status = error_status(poll.response.error_status, problems);
    if let (CursorKind::None, Some(item)) = (poll.cursor.kind, &item) {
        check_state_item(item, problems);
    }
    if poll.cursor.kind == CursorKind::None && !module.state {
        let why = "`none` is answered from the state: set `state = true`".to_owned();
        problems.push(("poll.cursor.kind", why));
    }
    Some(Contract {
        module: name?,
        path: poll.path.clone(),
        methods: poll.methods.clone(),
        fields,
        body: body?,
        item: item?,
        error: error?,
        error_status,
        next_poll_ms: poll.next_poll_ms,
        steer: poll.steer.clone(),
        floor: Duration::from_millis(poll.floor_ms),
        sunset,
        state: module.state,
    })
}

fn keep<T, E: ToString>(
    key: &'static str,
    result: Result<T, E>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    result
        .map_err(|error| problems.push((key, error.to_string())))
        .ok()
}

fn template<S: Slot>(
    key: &'static str,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<Template<S>> {
    keep(key, Template::compile(text), problems)
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

fn error_status(status: Option<u16>, problems: &mut Vec<Problem>) -> Option<StatusCode> {
    // Below 200 is no final answer; 204, 205 and 304 have no body to hold the envelope.
    let has_body = |status: &u16| (200..=599).contains(status) && ![204, 205, 304].contains(status);
    let valid = status.filter(has_body);
    if status != valid {
        let why = "must be from 200 to 599 and a status that has a body".to_owned();
        problems.push(("poll.response.error_status", why));
    }
    valid.and_then(|status| StatusCode::from_u16(status).ok())
}

fn check_methods(methods: &[Method], problems: &mut Vec<Problem>) {
    if methods.is_empty() {
        let why = "must name \"GET\", \"POST\" or both".to_owned();
        problems.push(("poll.methods", why));
    }
}

fn check_path(path: &str, problems: &mut Vec<Problem>) {
    if let Err(why) = captured_names(path) {
        problems.push(("poll.path", format!("`{path}` {why}")));
    }
}

/// The names that a path captures.
fn captured_names(path: &str) -> Result<Vec<&str>, &'static str> {
    let segments = path.strip_prefix('/').ok_or("must begin with `/`")?;
    let mut names = Vec::new();
    for segment in segments.split('/') {
        if let Some(name) = captured_name(segment)? {
            if names.contains(&name) {
                return Err("must not use one name twice");
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn captured_name(segment: &str) -> Result<Option<&str>, &'static str> {
    let inner = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    let Some(name) = inner else {
        let literal = |b: u8| b.is_ascii_graphic() && !b"{}?#*".contains(&b);
        return if segment.bytes().all(literal) {
            Ok(None)
        } else {
            Err(
                "must hold visible ASCII without `?`, `#` and `*`, and `{name}` for a whole segment only",
            )
        };
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Err("must name each `{…}` with letters, digits and `_`");
    }
    Ok(Some(name))
}

/// A source that could not be compiled is reported and left out: the contract is refused anyway.
fn fields(poll: &Poll, limits: &Limits, problems: &mut Vec<Problem>) -> Fields {
    check_limits(&poll.limit, problems);
    let path = poll.path.as_str();
    let mut named = |key, place, name: &str| keep(key, source(place, name, path), problems);
    let cursor = match poll.cursor.kind {
        CursorKind::None => None,
        CursorKind::Position | CursorKind::Token => {
            named("poll.cursor.name", poll.cursor.place, &poll.cursor.name)
        }
    };
    let client = poll.client.as_ref();
    let client = client.and_then(|field| named("poll.client.name", field.place, &field.name));
    let limit = poll.limit.place;
    let limit = limit.and_then(|place| named("poll.limit.name", place, &poll.limit.name));
    let wait = wait(poll.wait.as_ref(), path, problems);
    let (audience, always) = audience(poll.audience.as_ref(), path, limits, problems);
    Fields {
        cursor,
        kind: poll.cursor.kind,
        audience,
        always,
        audience_bytes: limits.audience_bytes,
        client,
        limit,
        default_limit: poll.limit.default,
        max_limit: poll.limit.max,
        wait,
    }
}

fn check_limits(limit: &LimitField, problems: &mut Vec<Problem>) {
    if limit.max == 0 {
        problems.push(("poll.limit.max", "must be above 0".to_owned()));
    }
    if limit.default == 0 || limit.default > limit.max {
        let why = "must be above 0 and not above `max`".to_owned();
        problems.push(("poll.limit.default", why));
    }
}

fn wait(field: Option<&WaitField>, path: &str, problems: &mut Vec<Problem>) -> Wait {
    let Some(field) = field else {
        return Wait::default();
    };
    if field.default_ms > field.max_ms {
        let why = "must not be above `max_ms`".to_owned();
        problems.push(("poll.wait.default_ms", why));
    }
    let source = field
        .place
        .and_then(|place| keep("poll.wait.name", source(place, &field.name, path), problems));
    Wait {
        source,
        unit: field.unit,
        default: Duration::from_millis(field.default_ms),
        max: Duration::from_millis(field.max_ms),
    }
}

fn source(place: Place, name: &str, path: &str) -> Result<Source, String> {
    if name.is_empty() {
        return Err("must say which parameter, header or segment it is".to_owned());
    }
    match place {
        Place::Query => Ok(Source::Query(name.into())),
        Place::Header => HeaderName::try_from(name)
            .map(Source::Header)
            .map_err(|_| format!("`{name}` is no header name")),
        Place::Path if captured_names(path).is_ok_and(|names| !names.contains(&name)) => {
            Err(format!("`{{{name}}}` does not stand in `{path}`"))
        }
        Place::Path => Ok(Source::Path(name.into())),
    }
}

fn audience(
    field: Option<&AudienceField>,
    path: &str,
    limits: &Limits,
    problems: &mut Vec<Problem>,
) -> (Option<Source>, Audiences) {
    let everyone = Audiences::everyone();
    let Some(field) = field else {
        return (None, everyone);
    };
    let Some(text) = &field.constant else {
        let source = source(field.place.unwrap_or_default(), &field.name, path);
        return (keep("poll.audience.name", source, problems), everyone);
    };
    if field.place.is_some() || !field.name.is_empty() {
        let why = "must not stand beside `in` and `name`: choose one".to_owned();
        problems.push(("poll.audience.const", why));
    }
    let own = Audience::new(text, limits.audience_bytes).map_err(|invalid| invalid.why);
    match keep("poll.audience.const", own, problems) {
        Some(own) => (None, Audiences::with(everyone.everyone_again(), own)),
        None => (None, everyone),
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
