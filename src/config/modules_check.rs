//! The checks of `[[modules]]`.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    Problems,
    modules::{
        AudienceField, CursorKind, LimitField, Method, Module, Place, Poll, Response, Sunset,
    },
    poll_path,
    wait::WaitField,
};
use crate::domain::{Audience, Limits, ModuleName};

/// The longest `next_poll_ms`: a day.
pub(super) const NEXT_POLL_MAX_MS: u64 = 86_400_000;

/// The longest time for which an empty answer is given again: it is also how late news may come.
const FLOOR_MAX_MS: u64 = 60_000;

/// The most changes that one answer may be configured to hold.
const LIMIT_MAX: u64 = 100_000;

/// Checks all modules, each alone and against those before it.
pub(super) fn validate(modules: &[Module], limits: &Limits, problems: &mut Problems) {
    let mut names = BTreeMap::new();
    let mut routes = BTreeMap::new();
    for (n, module) in modules.iter().enumerate() {
        let path = format!("modules[{n}]");
        validate_name(module, &path, &mut names, problems);
        sunset(&module.sunset, &format!("{path}.sunset"), problems);
        if let Some(poll) = &module.poll {
            let path = format!("{path}.poll");
            validate_poll(poll, &path, limits, problems);
            validate_routes(poll, &path, &mut routes, problems);
            if poll.cursor.kind == CursorKind::None && !module.state {
                problems.push(
                    format!("{path}.cursor.kind"),
                    format!("`none` answers with the whole state, but modules[{n}].state is false"),
                );
            }
        }
    }
}

fn validate_name(
    module: &Module,
    path: &str,
    names: &mut BTreeMap<String, String>,
    problems: &mut Problems,
) {
    let at = format!("{path}.name");
    if let Err(invalid) = module.name.parse::<ModuleName>() {
        return problems.push(at, invalid.why);
    }
    if let Some(first) = names.get(&module.name) {
        return problems.push(
            at,
            format!("`{}` is already the name of {first}", module.name),
        );
    }
    names.insert(module.name.clone(), path.to_owned());
}

/// Two modules must not answer the same request.
fn validate_routes(
    poll: &Poll,
    path: &str,
    routes: &mut BTreeMap<(&'static str, String), String>,
    problems: &mut Problems,
) {
    let Ok(segments) = poll_path::parse(&poll.path) else {
        return;
    };
    for method in &poll.methods {
        let route = (method.as_str(), poll_path::shape(&segments));
        match routes.get(&route) {
            Some(first) if first != path => problems.push(
                format!("{path}.path"),
                format!("{} {} is already answered by {first}", route.0, poll.path),
            ),
            Some(_) => problems.push(
                format!("{path}.methods"),
                format!("{} is named twice", route.0),
            ),
            None => {
                routes.insert(route, path.to_owned());
            }
        }
    }
}

fn validate_poll(poll: &Poll, path: &str, limits: &Limits, problems: &mut Problems) {
    let captures = match poll_path::parse(&poll.path) {
        Ok(segments) => Some(segments),
        Err(why) => {
            problems.push(format!("{path}.path"), why);
            None
        }
    };
    if poll.methods.is_empty() {
        problems.push(format!("{path}.methods"), "name GET, POST or both");
    }
    let mut fields = Fields {
        captures: captures
            .as_ref()
            .map(|all| all.iter().filter_map(poll_path::capture).collect()),
        problems,
    };
    if poll.cursor.kind != CursorKind::None {
        fields.check(
            poll.cursor.place,
            &poll.cursor.name,
            &format!("{path}.cursor"),
        );
    }
    if let Some(client) = &poll.client {
        fields.check(client.place, &client.name, &format!("{path}.client"));
    }
    if let Some(audience) = &poll.audience {
        fields.audience(audience, limits, &format!("{path}.audience"));
    }
    fields.limit(&poll.limit, &format!("{path}.limit"));
    if let Some(wait) = &poll.wait {
        fields.wait(wait, &format!("{path}.wait"));
    }
    response(&poll.response, &format!("{path}.response"), problems);
    let next = &format!("{path}.next_poll_ms");
    problems.bound(next, poll.next_poll_ms, 1, NEXT_POLL_MAX_MS);
    if let Some(steer) = &poll.steer {
        steer.validate(poll.next_poll_ms, &format!("{path}.steer"), problems);
    }
    let floor = &format!("{path}.floor_ms");
    problems.bound(floor, poll.floor_ms, 0, FLOOR_MAX_MS);
}

/// Checks fields of requests against the captures of their path, if the path could be read.
struct Fields<'a> {
    captures: Option<Vec<&'a str>>,
    problems: &'a mut Problems,
}

impl Fields<'_> {
    fn check(&mut self, place: Place, name: &str, path: &str) {
        let at = format!("{path}.name");
        if name.is_empty() {
            return self.problems.push(at, "must not be empty");
        }
        match place {
            Place::Header if http::HeaderName::from_bytes(name.as_bytes()).is_err() => self
                .problems
                .push(at, format!("`{}` is no header name", name.escape_debug())),
            Place::Query if name.chars().any(char::is_control) => {
                self.problems
                    .push(at, "must not contain control characters");
            }
            Place::Path => self.captured(name, at),
            Place::Query | Place::Header => {}
        }
    }

    fn captured(&mut self, name: &str, at: String) {
        let Some(captures) = &self.captures else {
            return;
        };
        if !captures.contains(&name) {
            let why = format!("the path captures no `{{{}}}`", name.escape_debug());
            self.problems.push(at, why);
        }
    }

    fn audience(&mut self, field: &AudienceField, limits: &Limits, path: &str) {
        match (field.place, &field.constant) {
            (Some(place), None) => self.check(place, &field.name, path),
            (None, Some(constant)) if field.name.is_empty() => {
                if let Err(invalid) = Audience::new(constant, limits.audience_bytes) {
                    self.problems.push(format!("{path}.const"), invalid.why);
                }
            }
            _ => self.problems.push(
                path,
                "give either `in` and `name`, or `const`; leave the whole out for changes to everyone only",
            ),
        }
    }

    fn wait(&mut self, field: &WaitField, path: &str) {
        match field.place {
            Some(place) => self.check(place, &field.name, path),
            None if !field.name.is_empty() => self
                .problems
                .push(format!("{path}.in"), "is missing: query, header or path"),
            None => {}
        }
        field.validate(path, self.problems);
    }

    fn limit(&mut self, field: &LimitField, path: &str) {
        match field.place {
            Some(place) => self.check(place, &field.name, path),
            None if !field.name.is_empty() => self
                .problems
                .push(format!("{path}.in"), "is missing: query, header or path"),
            None => {}
        }
        self.problems
            .bound(&format!("{path}.max"), field.max, 1, LIMIT_MAX);
        let default = &format!("{path}.default");
        self.problems.bound(default, field.default, 1, LIMIT_MAX);
        if field.default > field.max {
            let why = format!(
                "{} must not be above {path}.max ({})",
                field.default, field.max
            );
            self.problems.push(default, why);
        }
    }
}

fn response(response: &Response, path: &str, problems: &mut Problems) {
    let Some(status) = response.error_status else {
        return;
    };
    let at = format!("{path}.error_status");
    if !(200..=599).contains(&status) {
        problems.push(at, format!("must be from 200 to 599, not {status}"));
    } else if matches!(status, 204 | 205 | 304) {
        problems.push(
            at,
            format!("{status} allows no body, and the error is a body"),
        );
    }
}

fn sunset(sunset: &Sunset, path: &str, problems: &mut Problems) {
    if let Some(at) = &sunset.at
        && sunset.at_time().is_none()
    {
        problems.push(
            format!("{path}.at"),
            format!(
                "`{}` is no RFC 3339 time such as 2027-03-01T00:00:00Z",
                at.escape_debug()
            ),
        );
    }
    if let Some(link) = &sunset.link {
        let web = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !url::Url::parse(link).is_ok_and(web) {
            problems.push(
                format!("{path}.link"),
                "must be an absolute http:// or https:// URL",
            );
        }
    }
    if let Some(next) = sunset.next_poll_ms {
        problems.bound(&format!("{path}.next_poll_ms"), next, 1, NEXT_POLL_MAX_MS);
    }
}

/// Reads an RFC 3339 time with `Z` or an offset.
pub(super) fn rfc3339(text: &str) -> Option<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, clock) = offset.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, below: u64| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        let number: Option<u64> = digits.parse().ok().filter(|n| *n < below);
        number.filter(|_| plain)
    };
    let seconds = number(hours, 24)? * 3_600 + number(minutes, 60)? * 60;
    let offset = std::time::Duration::from_secs(seconds);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    match sign {
        "+" => time.checked_sub(offset),
        "-" => time.checked_add(offset),
        _ => None,
    }
}

impl Method {
    /// The method as it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}
