//! Where a contract takes its values from, compiled from its configuration.
//!
//! Invariant: what compiled can be asked for every value of a request.

use std::time::Duration;

use http::header::IF_NONE_MATCH;

use super::{
    audiences::Audiences,
    contract::{Problem, keep},
    request::Fields,
    source::Source,
    wait::Wait,
};
use crate::{
    config::{
        modules::{AudienceField, CursorKind, LimitField, Poll},
        wait::WaitField,
    },
    domain::{Audience, Limits},
};

/// A source that could not be compiled is reported and left out: the contract is refused anyway.
pub(super) fn compile(poll: &Poll, limits: &Limits, problems: &mut Vec<Problem>) -> Fields {
    check_limits(&poll.limit, problems);
    let path = poll.path.as_str();
    let mut named =
        |key, place, name: &str| keep(key, Source::compile(place, name, path), problems);
    let cursor = match poll.cursor.kind {
        CursorKind::None => None,
        CursorKind::Etag => Some(Source::Header(IF_NONE_MATCH)),
        _ => named("poll.cursor.name", poll.cursor.place, &poll.cursor.name),
    };
    let client = poll.client.as_ref();
    let client = client.and_then(|field| named("poll.client.name", field.place, &field.name));
    let agent = poll.agent.as_ref();
    let agent = agent.and_then(|field| named("poll.agent.name", field.place, &field.name));
    let limit = poll.limit.place;
    let limit = limit.and_then(|place| named("poll.limit.name", place, &poll.limit.name));
    let wait = wait(poll.wait.as_ref(), path, problems);
    let claim = poll
        .audience
        .as_ref()
        .and_then(|field| field.claim.as_deref());
    let named = poll.audience.as_ref().filter(|_| claim.is_none());
    let (audience, always) = audience(named, path, limits, problems);
    Fields {
        cursor,
        kind: poll.cursor.kind,
        audience,
        claim: claim.map(Into::into),
        always,
        audience_bytes: limits.audience_bytes,
        client,
        agent,
        limit,
        default_limit: poll.limit.default,
        max_limit: poll.limit.max,
        wait,
        compat: None,
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
    let source = field.place.and_then(|place| {
        let source = Source::compile(place, &field.name, path);
        keep("poll.wait.name", source, problems)
    });
    Wait {
        source,
        unit: field.unit,
        default: Duration::from_millis(field.default_ms),
        max: Duration::from_millis(field.max_ms),
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
        let source = Source::compile(field.place.unwrap_or_default(), &field.name, path);
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
