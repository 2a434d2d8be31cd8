//! What comes over MQTT: changes and retained messages. Answers to reads hold the same changes.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Unreadable;
use crate::{
    client::{Bookmark, Change, Message},
    domain::{Audience, Epoch, Invalid, JsonText, ModuleName, Op, Position},
};

#[derive(Deserialize)]
pub(super) struct CloudEvent {
    source: String,
    r#type: String,
    subject: String,
    sequence: String,
    previous: String,
    epoch: String,
    audience: String,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
}

/// `null` is a value as well.
fn present<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(text).map(Some)
}

impl CloudEvent {
    pub(super) fn change(self) -> Result<(ModuleName, Change), Invalid> {
        let module = self.source.strip_prefix("/changeover/").unwrap_or_default();
        let kind = self
            .r#type
            .strip_prefix("changeover.")
            .unwrap_or(&self.r#type);
        let change = Change {
            epoch: Epoch::new(number("epoch", &self.epoch)?),
            position: Position::new(number("sequence", &self.sequence)?),
            previous: Position::new(number("previous", &self.previous)?),
            // It was admitted by the gateway, whose limits may be others than ours.
            audience: Audience::stored(self.audience),
            key: self.subject.into(),
            op: kind.parse::<Op>()?,
            value: self.data.map(JsonText::from),
        };
        Ok((module.parse()?, change))
    }
}

fn number<N: std::str::FromStr>(what: &'static str, text: &str) -> Result<N, Invalid> {
    let parsed = text.parse();
    parsed.map_err(|_| Invalid::new(what, "must be a number in digits"))
}

#[derive(Deserialize)]
struct BookmarkText {
    module: ModuleName,
    epoch: Epoch,
    generation: u64,
    version: i64,
}

#[derive(Deserialize)]
struct Kind {
    specversion: Option<String>,
}

impl Message {
    /// Reads a structured `CloudEvent`, or the retained message of a module.
    pub fn parse(payload: &[u8]) -> Result<Self, Unreadable> {
        let kind: Kind = serde_json::from_slice(payload)?;
        if kind.specversion.is_some() {
            let event: CloudEvent = serde_json::from_slice(payload)?;
            let (module, change) = event.change()?;
            return Ok(Self::Change(module, change));
        }
        let said: BookmarkText = serde_json::from_slice(payload)?;
        Ok(Self::Bookmark(Bookmark {
            module: said.module,
            epoch: said.epoch,
            generation: said.generation,
            version: said.version,
        }))
    }
}
