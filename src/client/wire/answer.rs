//! Answers to reads: polls, pages of streams and of snapshots.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Unreadable, event::CloudEvent};
use crate::{
    client::{Change, Page, StatePage},
    domain::{Audience, Cursor, Invalid, ModuleName, Op, Position},
};

/// What `POST /v1/poll` says of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Changes.
    Page(Page),
    /// The log does not reach back so far, or began anew.
    Gone,
    /// Not now, or no such module.
    Failed,
}

#[derive(Deserialize)]
struct PollText {
    modules: BTreeMap<ModuleName, PolledText>,
}

#[derive(Deserialize)]
struct PolledText {
    error: Option<String>,
    cursor: Option<Cursor>,
    #[serde(default)]
    changes: Vec<CloudEvent>,
    #[serde(default)]
    has_more: bool,
}

impl Polled {
    /// Reads the body of an answer to `POST /v1/poll`.
    pub fn parse(body: &[u8]) -> Result<BTreeMap<ModuleName, Self>, Unreadable> {
        let text: PollText = serde_json::from_slice(body)?;
        let modules = text.modules.into_iter();
        modules
            .map(|(name, said)| Ok((name, said.polled()?)))
            .collect()
    }
}

impl PolledText {
    fn polled(self) -> Result<Polled, Invalid> {
        let cursor = match (self.error.as_deref(), self.cursor) {
            (Some("gone"), _) => return Ok(Polled::Gone),
            (None, Some(cursor)) => cursor,
            (Some(_), _) | (None, None) => return Ok(Polled::Failed),
        };
        Ok(Polled::Page(Page {
            changes: changes(self.changes)?,
            cursor,
            has_more: self.has_more,
            is_state: false,
            next_poll: None,
            transport: None,
        }))
    }
}

fn changes(events: Vec<CloudEvent>) -> Result<Vec<Change>, Invalid> {
    let one = |event: CloudEvent| {
        let (_module, change) = event.change()?;
        if change.value.is_none() {
            return Err(Invalid::new("data", "is missing: a read has no pointers"));
        }
        Ok(change)
    };
    events.into_iter().map(one).collect()
}

impl Page {
    /// A page of `GET /v1/streams/{module}`: its body, and what its headers `Stream-Next-Offset` and
    /// `Stream-Up-To-Date` say.
    pub fn of_stream(body: &[u8], next: &str, is_up_to_date: bool) -> Result<Self, Unreadable> {
        Ok(Self {
            changes: changes(serde_json::from_slice(body)?)?,
            cursor: next.parse()?,
            has_more: !is_up_to_date,
            is_state: false,
            next_poll: None,
            transport: None,
        })
    }
}

#[derive(Deserialize)]
struct StateText {
    cursor: Cursor,
    items: Vec<ItemText>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ItemText {
    key: Box<str>,
    audience: String,
    position: Position,
    value: Box<RawValue>,
}

impl StatePage {
    /// Reads the body of an answer to `GET /v1/modules/{module}/snapshot`.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let text: StateText = serde_json::from_slice(body)?;
        let epoch = text.cursor.epoch;
        let item = |item: ItemText| Change {
            epoch,
            position: item.position,
            previous: Position::ZERO,
            audience: Audience::stored(item.audience),
            key: item.key,
            op: Op::Upsert,
            value: Some(item.value.into()),
        };
        Ok(Self {
            items: text.items.into_iter().map(item).collect(),
            cursor: text.cursor,
            next: text.next,
        })
    }
}
