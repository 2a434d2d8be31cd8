//! The checks of `[[modules]]`.

use std::collections::BTreeMap;

use super::{
    Config, Problems,
    json_pointer::JsonPointer,
    modules::{AudienceField, CursorKind, LimitField, Method, Module, Place, Poll, Sunset},
    poll_path, quirks,
    routes::Routes,
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
pub(super) fn validate(config: &Config, routes: &mut Routes, problems: &mut Problems) {
    let mut names = BTreeMap::new();
    for (n, module) in config.modules.iter().enumerate() {
        let path = format!("modules[{n}]");
        validate_name(module, &path, &mut names, problems);
        validate_kept(module, &path, problems);
        validate_callers(module, config, &path, problems);
        sunset(&module.sunset, &format!("{path}.sunset"), problems);
        module
            .savings
            .validate(&format!("{path}.savings"), problems);
        if let Some(poll) = &module.poll {
            let path = format!("{path}.poll");
            validate_poll(
                poll,
                &path,
                CursorStands::Here,
                &AudienceRules::of(config, &[module]),
                problems,
            );
            routes.add(poll, &path, problems);
            if poll.cursor.kind == CursorKind::None && !module.state {
                problems.push(
                    format!("{path}.cursor.kind"),
                    format!("`none` answers with the whole state, but modules[{n}].state is false"),
                );
            }
        }
    }
}

fn validate_kept(module: &Module, path: &str, problems: &mut Problems) {
    if let Some(kept) = &module.retention {
        kept.validate(&format!("{path}.retention"), problems);
    }
    if module.last_value && !module.state {
        problems.push(
            format!("{path}.last_value"),
            format!(
                "the state tells which change of a key is the newest, but {path}.state is false"
            ),
        );
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

fn validate_callers(module: &Module, config: &Config, path: &str, problems: &mut Problems) {
    let Some(callers) = &module.callers else {
        return;
    };
    if callers.is_empty() {
        let why = "name at least one, or leave it out to take all";
        problems.push(format!("{path}.callers"), why);
    }
    let known = config.auth.names();
    for (n, name) in callers.iter().enumerate() {
        if !known.contains(name) {
            let why = format!("auth.callers has no `{}`", name.escape_debug());
            problems.push(format!("{path}.callers[{n}]"), why);
        }
    }
}

/// What counts for the audience of a contract.
pub(super) struct AudienceRules {
    limits: Limits,
    /// A module of the contract that takes callers who prove nothing.
    open: Option<String>,
}

impl AudienceRules {
    /// For a contract of these modules.
    pub(super) fn of(config: &Config, modules: &[&Module]) -> Self {
        let takes_open = |module: &&&Module| config.auth.takes_open(module.callers.as_deref());
        let open = modules.iter().find(takes_open);
        Self {
            limits: config.limits,
            open: open.map(|module| module.name.clone()),
        }
    }
}

/// Whether the contract itself says where the cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CursorStands {
    Here,
    /// A batch says it for all its modules.
    Elsewhere,
}

/// Checks a contract. Returns the names that its path captures, if it could be read.
pub(super) fn validate_poll(
    poll: &Poll,
    path: &str,
    cursor: CursorStands,
    rules: &AudienceRules,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let captures = match poll_path::parse(&poll.path) {
        Ok(segments) => Some(captured(&segments)),
        Err(why) => {
            problems.push(format!("{path}.path"), why);
            None
        }
    };
    if poll.methods.is_empty() {
        problems.push(
            format!("{path}.methods"),
            "name at least one of GET, POST and PUT",
        );
    }
    let mut fields = Fields { captures, problems };
    if cursor == CursorStands::Here && poll.cursor.kind.is_named() {
        let (place, name) = (poll.cursor.place, &poll.cursor.name);
        fields.check(place, name, &format!("{path}.cursor"));
    }
    if let Some(client) = &poll.client {
        fields.check(client.place, &client.name, &format!("{path}.client"));
    }
    if let Some(agent) = &poll.agent {
        fields.check(agent.place, &agent.name, &format!("{path}.agent"));
    }
    if let Some(audience) = &poll.audience {
        fields.audience(audience, rules, &format!("{path}.audience"));
    }
    fields.limit(&poll.limit, &format!("{path}.limit"));
    if let Some(wait) = &poll.wait {
        fields.wait(wait, &format!("{path}.wait"));
    }
    let captures = fields.captures;
    poll.ops.validate(&format!("{path}.ops"), problems);
    poll.response
        .validate(&format!("{path}.response"), problems);
    quirks::validate(poll, path, problems);
    let next = &format!("{path}.next_poll_ms");
    problems.bound(next, poll.next_poll_ms, 1, NEXT_POLL_MAX_MS);
    if let Some(steer) = &poll.steer {
        steer.validate(poll.next_poll_ms, &format!("{path}.steer"), problems);
    }
    let floor = &format!("{path}.floor_ms");
    problems.bound(floor, poll.floor_ms, 0, FLOOR_MAX_MS);
    captures
}

fn captured(segments: &[poll_path::Segment]) -> Vec<String> {
    let names = segments.iter().filter_map(poll_path::capture);
    names.map(str::to_owned).collect()
}

/// Checks fields of requests against the captures of their path, if the path could be read.
pub(super) struct Fields<'a> {
    pub(super) captures: Option<Vec<String>>,
    pub(super) problems: &'a mut Problems,
}

impl Fields<'_> {
    pub(super) fn check(&mut self, place: Place, name: &str, path: &str) {
        let at = format!("{path}.name");
        if name.is_empty() {
            return self.problems.push(at, "must not be empty");
        }
        match place {
            Place::Header if !is_token(name) => self
                .problems
                .push(at, format!("`{}` is no header name", name.escape_debug())),
            Place::Cookie if !is_token(name) => self
                .problems
                .push(at, format!("`{}` is no cookie name", name.escape_debug())),
            Place::Query | Place::Form if name.chars().any(char::is_control) => {
                self.problems
                    .push(at, "must not contain control characters");
            }
            Place::Json => {
                if let Err(why) = name.parse::<JsonPointer>() {
                    self.problems.push(at, why.to_string());
                }
            }
            Place::Path => self.captured(name, at),
            Place::Query | Place::Header | Place::Cookie | Place::Form => {}
        }
    }

    fn captured(&mut self, name: &str, at: String) {
        let Some(captures) = &self.captures else {
            return;
        };
        if !captures.iter().any(|captured| captured == name) {
            let why = format!("the path captures no `{{{}}}`", name.escape_debug());
            self.problems.push(at, why);
        }
    }

    fn audience(&mut self, field: &AudienceField, rules: &AudienceRules, path: &str) {
        match (field.place, &field.constant, &field.claim) {
            (Some(place), None, None) => self.check(place, &field.name, path),
            (None, Some(constant), None) if field.name.is_empty() => {
                if let Err(invalid) = Audience::new(constant, rules.limits.audience_bytes) {
                    self.problems.push(format!("{path}.const"), invalid.why);
                }
            }
            (None, None, Some(claim)) if field.name.is_empty() => {
                self.claim(claim, rules, &format!("{path}.claim"));
            }
            _ => self.problems.push(
                path,
                "give either `in` and `name`, or `const`, or `claim`; leave the whole out for changes to everyone only",
            ),
        }
    }

    /// Who proves nothing has no claims.
    fn claim(&mut self, claim: &str, rules: &AudienceRules, path: &str) {
        if claim.is_empty() || claim.chars().any(char::is_control) {
            let why = "must not be empty, nor hold control characters";
            self.problems.push(path, why);
        }
        if let Some(module) = &rules.open {
            let why = format!(
                "needs callers that are recognized, and module {module} takes open ones: configure auth.callers, and name in its `callers` those that are not open"
            );
            self.problems.push(path, why);
        }
    }

    /// A value that a request may give, if there is a place for it.
    fn optional(&mut self, place: Option<Place>, name: &str, path: &str) {
        match place {
            Some(place) => self.check(place, name, path),
            None if !name.is_empty() => self.problems.push(
                format!("{path}.in"),
                "is missing: query, header, path, cookie, form or json",
            ),
            None => {}
        }
    }

    fn wait(&mut self, field: &WaitField, path: &str) {
        self.optional(field.place, &field.name, path);
        field.validate(path, self.problems);
    }

    fn limit(&mut self, field: &LimitField, path: &str) {
        self.optional(field.place, &field.name, path);
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

/// Header and cookie names are tokens of RFC 9110.
fn is_token(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
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

impl CursorKind {
    /// Whether the request names its place; the others have none, or always the same.
    pub const fn is_named(self) -> bool {
        !matches!(self, Self::Etag | Self::None)
    }
}

impl Method {
    /// The method as it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}
