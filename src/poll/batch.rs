//! The contract of a batch: many modules in one request, many answers in one.
//!
//! Invariant: the number of modules of one request is bounded, and each is named once.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    content::{Content, text_of},
    contract::Problem,
    failure::Failure,
    request::malformed,
    slots::ErrorSlot,
    source::Source,
    template::{Slot, Template},
};
use crate::config::{
    endpoints::{self, Answers},
    json_pointer::JsonPointer,
    modules::{CursorField, Place, Poll},
};

/// What the body around the answers knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchSlot {
    /// The answers of the modules.
    Modules,
    /// Number of items in all of them.
    Count,
    /// Whether a limit cut one of them.
    HasMore,
    /// The gateway's time.
    ServerTimeMs,
    /// When the client should poll again: the soonest of the modules.
    NextPollMs,
}

impl Slot for BatchSlot {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("modules", Self::Modules),
        ("count", Self::Count),
        ("has_more", Self::HasMore),
        ("server_time_ms", Self::ServerTimeMs),
        ("next_poll_ms", Self::NextPollMs),
    ];

    fn is_number(self) -> bool {
        matches!(self, Self::Count | Self::ServerTimeMs | Self::NextPollMs)
    }
}

/// The contract around the contracts of the modules.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    cursors: JsonPointer,
    list: Option<Element>,
    max_modules: usize,
    pub(super) answers: Answers,
    pub(super) body: Template<BatchSlot>,
    /// The answer of one module that cannot be served.
    pub(super) error: Template<ErrorSlot>,
}

/// Where an element of a list has its values.
#[derive(Debug, Clone)]
struct Element {
    module: JsonPointer,
    cursor: Option<JsonPointer>,
}

/// One module that a request asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// As the client calls it.
    pub(super) called: Cow<'a, str>,
    cursor: Option<&'a Value>,
}

impl Batch {
    /// Reports problems by their keys below `endpoints[]`. `error` is the envelope of the whole.
    pub(super) fn compile(
        config: &endpoints::Batch,
        error: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let field = &config.cursors;
        if field.place != Place::Json {
            let why = "must be json: a batch stands in a JSON body".to_owned();
            problems.push(("batch.cursors.in", why));
        }
        let mut pointer = |key, text: &String| {
            let parsed = text.parse::<JsonPointer>();
            parsed
                .map_err(|why| problems.push((key, why.to_string())))
                .ok()
        };
        let cursors = pointer("batch.cursors.name", &field.name);
        let module = field.module.as_ref();
        let module = module.and_then(|text| pointer("batch.cursors.module", text));
        let cursor = field.cursor.as_ref();
        let cursor = cursor.and_then(|text| pointer("batch.cursors.cursor", text));
        let body = template("batch.body", &config.body, problems);
        if let Some(body) = &body
            && !body.uses(BatchSlot::Modules)
        {
            problems.push(("batch.body", "must hold \"$modules\"".to_owned()));
        }
        let error = config.error.as_deref().unwrap_or(error);
        let error = template("batch.error", error, problems);
        Some(Self {
            cursors: cursors?,
            list: module.map(|module| Element { module, cursor }),
            max_modules: config.max_modules,
            answers: config.answers,
            body: body?,
            error: error?,
        })
    }

    /// The contract of one module: the cursors are in the body, but not where a single one is.
    pub(super) fn poll_of_one(poll: &Poll) -> Poll {
        Poll {
            cursor: CursorField {
                place: Place::Json,
                name: "/".to_owned(),
                kind: poll.cursor.kind,
            },
            ..poll.clone()
        }
    }

    /// Where the modules stand.
    pub(super) fn source(&self) -> Source {
        Source::Json(self.cursors.clone())
    }

    /// Whether they are a list, and not an object.
    pub(super) const fn is_list(&self) -> bool {
        self.list.is_some()
    }

    /// The modules that a request asks for.
    pub(super) fn read<'a>(&self, body: &'a Content) -> Result<Vec<Wanted<'a>>, Failure> {
        let found = match body {
            Content::Json(document) => self.cursors.find(document),
            Content::Absent | Content::Form(_) => None,
        };
        let wanted = match (&self.list, found) {
            (None, Some(Value::Object(members))) => {
                self.bound(members.len())?;
                members.iter().map(Wanted::of_member).collect()
            }
            (Some(element), Some(Value::Array(elements))) => {
                self.bound(elements.len())?;
                let wanted = elements.iter().enumerate();
                let wanted = wanted.map(|(n, value)| self.element(element, n, value));
                wanted.collect::<Result<_, _>>()?
            }
            (None, _) => return Err(self.malformed("must be an object of modules and cursors")),
            (Some(_), _) => return Err(self.malformed("must be a list of modules")),
        };
        self.each_once(wanted)
    }

    fn bound(&self, modules: usize) -> Result<(), Failure> {
        if modules <= self.max_modules {
            return Ok(());
        }
        let most = self.max_modules;
        Err(self.malformed(format!(
            "names {modules} modules, at most {most} are allowed"
        )))
    }

    fn element<'a>(
        &self,
        element: &Element,
        n: usize,
        value: &'a Value,
    ) -> Result<Wanted<'a>, Failure> {
        let called = element.module.find(value).map(text_of).transpose();
        let called = called
            .ok()
            .flatten()
            .flatten()
            .filter(|called| !called.is_empty());
        let called =
            called.ok_or_else(|| self.malformed(format!("element {n} names no module")))?;
        let cursor = element.cursor.as_ref();
        Ok(Wanted {
            called,
            cursor: cursor.and_then(|pointer| pointer.find(value)),
        })
    }

    fn each_once<'a>(&self, wanted: Vec<Wanted<'a>>) -> Result<Vec<Wanted<'a>>, Failure> {
        let mut names = std::collections::HashSet::new();
        let twice = wanted.iter().find(|one| !names.insert(&one.called));
        match twice {
            None => Ok(wanted),
            Some(one) => Err(self.malformed(format!("names `{}` twice", one.called))),
        }
    }

    fn malformed(&self, why: impl Into<Cow<'static, str>>) -> Failure {
        self.located(malformed("modules", why))
    }

    /// Adds to a refusal where the cursors stand.
    pub(super) fn located(&self, failure: Failure) -> Failure {
        let place = match self.cursors.to_string() {
            whole if whole.is_empty() => "JSON body".to_owned(),
            pointer => format!("JSON {pointer}"),
        };
        match failure {
            Failure::Malformed { what, why } => malformed(format!("{what} ({place})"), why),
            other => other,
        }
    }
}

impl<'a> Wanted<'a> {
    fn of_member((called, cursor): (&'a String, &'a Value)) -> Self {
        Self {
            called: Cow::Borrowed(called),
            cursor: Some(cursor),
        }
    }

    /// The cursor's text; `None` from the beginning.
    pub(super) fn cursor(&self) -> Result<Option<Cow<'a, str>>, Failure> {
        let text = self.cursor.map(text_of).transpose();
        let text = text.map_err(|found| {
            malformed(
                "cursor",
                format!("must be a string or a number, not {found}"),
            )
        })?;
        Ok(text.flatten().filter(|text| !text.is_empty()))
    }
}

fn template<S: Slot>(
    key: &'static str,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<Template<S>> {
    Template::compile(text)
        .map_err(|error| problems.push((key, error.to_string())))
        .ok()
}
