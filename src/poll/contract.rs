//! The contract of a legacy endpoint: its configuration, checked and compiled.
//!
//! Invariant: a contract that compiled cannot fail on a request for a reason that its
//! configuration could have told.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{
    captures::captured_names,
    compat::Compat,
    content::BodyKind,
    failure::Failure,
    fields,
    request::{Fields, TwoBodies},
    source::Source,
    sunset::Notice,
    wording::Wording,
};
use crate::{
    config::{
        modules::{CursorKind, Method, Module, Poll},
        steer::Steer,
    },
    domain::{Limits, ModuleName},
};

/// What is wrong with a contract: the key below `modules[]`, and why.
pub type Problem = (&'static str, String);

/// The contract of one module at one legacy endpoint.
#[derive(Debug, Clone)]
pub struct Contract {
    pub(super) module: ModuleName,
    /// What clients call it; `None` where the module is not known yet.
    pub(super) called: Option<Box<str>>,
    pub(super) path: String,
    pub(super) methods: Vec<Method>,
    /// The methods of all contracts at this path.
    pub(super) allowed: Vec<Method>,
    pub(super) body_kind: Option<BodyKind>,
    pub(super) fields: Fields,
    pub(super) wording: Wording,
    pub(super) compat: Option<Arc<Compat>>,
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
            Some(poll) => {
                let mut compiled = compile(module, poll, sunset, limits, &mut problems);
                if let Some(contract) = &mut compiled {
                    contract.settle_body(None, &mut problems);
                }
                if poll.cursor.kind == CursorKind::None && !module.state {
                    let why = "`none` is answered from the state: set `state = true`".to_owned();
                    problems.push(("poll.cursor.kind", why));
                }
                compiled
            }
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

    /// The media types that a body may have.
    pub(super) fn content_types(&self) -> impl Iterator<Item = String> {
        let script = self.compat.as_ref().and_then(|compat| compat.script_type());
        let own = self.wording.content_type().to_owned();
        std::iter::once(own).chain(script.map(str::to_owned))
    }

    /// Decides what the body has to be. `also` is one more value that is taken from the request.
    pub(super) fn settle_body(&mut self, also: Option<&Source>, problems: &mut Vec<Problem>) {
        match self.fields.body(also) {
            Ok(Some(_)) if self.methods == [Method::Get] => {
                let why = "values come from the body, and GET has none: name \"POST\" or \"PUT\"";
                problems.push(("poll.methods", why.to_owned()));
            }
            Ok(kind) => self.body_kind = kind,
            Err(TwoBodies) => {
                let why = "takes values from `form` and from `json`, and one body cannot be both";
                problems.push(("poll", why.to_owned()));
            }
        }
    }

    /// Status and body of the error envelope.
    pub(super) fn refuse(&self, failure: &Failure) -> (StatusCode, Vec<u8>) {
        self.refuse_called(failure, self.called.as_deref())
    }

    /// The same, for what the client calls the module.
    pub(super) fn refuse_called(
        &self,
        failure: &Failure,
        called: Option<&str>,
    ) -> (StatusCode, Vec<u8>) {
        self.wording.refuse(failure, called)
    }

    /// The same contract, whose quirks are counted under another label.
    pub(super) fn with_quirks_counted_for(self, module: &str) -> Self {
        let compat = self.compat.as_ref();
        let compat = compat.map(|compat| Arc::new(compat.counted_for(module)));
        Self {
            fields: Fields {
                compat: compat.clone(),
                ..self.fields
            },
            compat,
            ..self
        }
    }

    /// Every path that the endpoint answers at.
    pub fn paths(&self) -> impl Iterator<Item = String> + '_ {
        let compat = self.compat.as_ref();
        let more = compat.and_then(|compat| compat.further_path(&self.path));
        std::iter::once(self.path.clone()).chain(more)
    }
}

/// Compiles `poll` for a module, except for what the body is.
pub(super) fn compile(
    module: &Module,
    poll: &Poll,
    sunset: Notice,
    limits: &Limits,
    problems: &mut Vec<Problem>,
) -> Option<Contract> {
    check_path(&poll.path, problems);
    check_methods(&poll.methods, problems);
    let name = keep("name", module.name.parse::<ModuleName>(), problems);
    let fields = fields::compile(poll, limits, problems);
    let wording = Wording::compile(poll, problems);
    let name = name?;
    let compat = Compat::compile(name.as_str(), poll).map(Arc::new);
    Some(Contract {
        called: Some(name.as_str().into()),
        module: name,
        path: poll.path.clone(),
        methods: poll.methods.clone(),
        allowed: poll.methods.clone(),
        body_kind: None,
        fields: Fields {
            compat: compat.clone(),
            ..fields
        },
        wording: wording?,
        compat,
        next_poll_ms: poll.next_poll_ms,
        steer: poll.steer.clone(),
        floor: Duration::from_millis(poll.floor_ms),
        sunset,
        state: module.state,
    })
}

pub(super) fn keep<T, E: ToString>(
    key: &'static str,
    result: Result<T, E>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    result
        .map_err(|error| problems.push((key, error.to_string())))
        .ok()
}

fn check_methods(methods: &[Method], problems: &mut Vec<Problem>) {
    if methods.is_empty() {
        let why = "must name at least one of \"GET\", \"POST\" and \"PUT\"".to_owned();
        problems.push(("poll.methods", why));
    }
}

fn check_path(path: &str, problems: &mut Vec<Problem>) {
    if let Err(why) = captured_names(path) {
        problems.push(("poll.path", format!("`{path}` {why}")));
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
