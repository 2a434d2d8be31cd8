//! What a legacy endpoint takes and answers, as plain data: for the description of the listener.
//!
//! Invariant: everything is told by the compiled contract that answers, so the two cannot differ.

mod answers;

use std::collections::BTreeMap;

use http::header::IF_NONE_MATCH;

use super::{content::BodyKind, contract::Contract, source::Source};
use crate::config::{
    modules::{CursorKind, Place},
    wait::WaitUnit,
};

/// What an endpoint takes and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Every path, with `{name}` for a captured segment.
    pub paths: Vec<String>,
    /// In upper case.
    pub methods: Vec<&'static str>,
    /// What it is, in a sentence.
    pub summary: String,
    /// The values that it takes, of which none has to be there.
    pub takes: Vec<Taken>,
    /// What the body is; `None` if nothing is taken from it.
    pub body: Option<BodyKind>,
    /// By status.
    pub answers: BTreeMap<u16, Answer>,
}

/// One value of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// In which part of the request.
    pub place: Place,
    /// Its name there; a JSON pointer in a JSON body.
    pub name: String,
    /// What it is, in a sentence.
    pub what: &'static str,
    /// How it is written.
    pub shape: Shape,
}

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Any text.
    Text,
    /// A whole number from 0.
    Count,
    /// A whole number from 1.
    Size,
    /// RFC 3339.
    Time,
    /// The opaque cursor.
    Token,
    /// One of these words.
    OneOf(Vec<String>),
    /// An object of modules and their cursors.
    Modules,
    /// A list of modules with their cursors.
    ModuleList,
}

/// What one status means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// When it is given, each in a few words.
    pub when: Vec<&'static str>,
    /// The media types of its body; none if it has no body.
    pub content_types: Vec<String>,
    /// Its headers, and what they say.
    pub headers: BTreeMap<String, &'static str>,
    /// An error as a client may see it.
    pub example: Option<String>,
}

/// Whom an endpoint serves, for its description.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whom<'a> {
    /// The module of the contract.
    Module,
    /// The one that the request names there, of these.
    Named(&'a Source, &'a [&'a str]),
    /// All that the request names, of these.
    Batch {
        source: &'a Source,
        names: &'a [&'a str],
        is_list: bool,
    },
}

impl Described {
    /// `asks`: callers are asked who they are.
    pub(super) fn of(contract: &Contract, whom: Whom<'_>, asks: bool) -> Self {
        Self {
            paths: contract.paths().collect(),
            methods: contract
                .methods()
                .iter()
                .map(|method| method.as_str())
                .collect(),
            summary: summary(contract, whom),
            takes: takes(contract, whom),
            body: contract.body_kind,
            answers: answers::answers(contract, whom, asks),
        }
    }
}

fn summary(contract: &Contract, whom: Whom<'_>) -> String {
    match whom {
        Whom::Module => format!("The poll of the module {}", contract.module()),
        Whom::Named(_, names) => format!("The poll of one module of {}", names.join(", ")),
        Whom::Batch { names, .. } => format!("The poll of several modules of {}", names.join(", ")),
    }
}

fn takes(contract: &Contract, whom: Whom<'_>) -> Vec<Taken> {
    let fields = &contract.fields;
    let module = match whom {
        Whom::Module => None,
        Whom::Named(source, names) => {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Some(taken(source, "which module", Shape::OneOf(names)))
        }
        Whom::Batch {
            source, is_list, ..
        } => {
            let shape = if is_list {
                Shape::ModuleList
            } else {
                Shape::Modules
            };
            Some(taken(
                source,
                "the modules and their cursors; it must be there",
                shape,
            ))
        }
    };
    let of = |source: &Option<Source>, what, shape| {
        source.as_ref().map(|source| taken(source, what, shape))
    };
    let tag = (contract.wording.etag && fields.kind != CursorKind::Etag).then_some(Taken {
        place: Place::Header,
        name: IF_NONE_MATCH.as_str().to_owned(),
        what: "the `ETag` of the answer that the client has",
        shape: Shape::Text,
    });
    let all = [
        module,
        of(
            &fields.cursor,
            "what the client has seen; absent = nothing",
            cursor(fields.kind),
        ),
        of(&fields.audience, "who asks, besides everyone", Shape::Text),
        of(&fields.client, "which client asks", Shape::Text),
        of(&fields.agent, "its program and version", Shape::Text),
        of(&fields.limit, "most changes of the answer", Shape::Size),
        of(&fields.wait.source, wait(fields.wait.unit), Shape::Count),
        tag,
    ];
    all.into_iter().flatten().collect()
}

const fn wait(unit: WaitUnit) -> &'static str {
    match unit {
        WaitUnit::Milliseconds => "how long the poll may wait for news, in milliseconds",
        WaitUnit::Seconds => "how long the poll may wait for news, in seconds",
    }
}

const fn cursor(kind: CursorKind) -> Shape {
    match kind {
        CursorKind::Position | CursorKind::TimestampS | CursorKind::TimestampMs => Shape::Count,
        CursorKind::Rfc3339 => Shape::Time,
        CursorKind::Token => Shape::Token,
        CursorKind::Etag | CursorKind::None => Shape::Text,
    }
}

fn taken(source: &Source, what: &'static str, shape: Shape) -> Taken {
    let (place, name) = match source {
        Source::Query(name) => (Place::Query, name.to_string()),
        Source::Header(name) => (Place::Header, name.to_string()),
        Source::Path(name) => (Place::Path, name.to_string()),
        Source::Cookie(name) => (Place::Cookie, name.to_string()),
        Source::Form(name) => (Place::Form, name.to_string()),
        Source::Json(pointer) => (Place::Json, pointer.to_string()),
    };
    Taken {
        place,
        name,
        what,
        shape,
    }
}
