//! What a client reads in an event: the one place that takes messages of the broker apart.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::{Change, Epoch, Op, Position};

/// A hash of texts that stays the same while the process lives.
pub(super) fn fingerprint(texts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    hasher.finish()
}

/// What a change says, in two hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    subject: u64,
    /// Absent in an event that only points to its value.
    value: Option<u64>,
}

impl Print {
    fn new(audience: &str, key: &str, op: Op, value: Option<&str>) -> Self {
        Self {
            subject: fingerprint(&[audience, key, op.as_str()]),
            value: value.map(|value| fingerprint(&[value.trim_ascii()])),
        }
    }

    /// Of a change of the log.
    pub(super) fn of(change: &Change) -> Self {
        let (audience, value) = (change.audience.as_str(), change.value.as_str());
        Self::new(audience, &change.key, change.op, Some(value))
    }

    /// Whether an event that says this may stand for the change.
    pub(super) fn stands_for(self, change: Self) -> bool {
        let same_value = self.value.is_none() || self.value == change.value;
        self.subject == change.subject && same_value
    }
}

/// An event as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// The hash of its topic.
    pub(super) channel: u64,
    pub(super) epoch: Epoch,
    pub(super) position: Position,
    pub(super) previous: Position,
    pub(super) print: Print,
}

/// The members of a structured `CloudEvent` that a client needs.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    sequence: Cow<'a, str>,
    #[serde(borrow)]
    previous: Cow<'a, str>,
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    #[serde(borrow)]
    audience: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

/// `"data": null` is a value; without `data` there is none.
fn present<'de, D: Deserializer<'de>>(data: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(data).map(Some)
}

impl Received {
    /// Reads a message that came for a module on a channel, as a client does. The error says why a client
    /// cannot read it.
    pub(super) fn parse(module: &str, channel: u64, payload: &[u8]) -> Result<Self, String> {
        let event: Event<'_> = serde_json::from_slice(payload).map_err(|why| {
            // Without the library's words, which repeat what a stranger wrote, however long it is.
            format!(
                "no event of ours at line {}, column {}",
                why.line(),
                why.column()
            )
        })?;
        if event.specversion != "1.0" {
            return Err("`specversion` is not 1.0".to_owned());
        }
        let op = event.r#type.strip_prefix("changeover.");
        let op = op
            .and_then(|op| op.parse().ok())
            .ok_or("`type` is none of ours")?;
        let received = Self {
            channel,
            epoch: Epoch::new(number("epoch", &event.epoch)?),
            position: Position::new(number("sequence", &event.sequence)?),
            previous: Position::new(number("previous", &event.previous)?),
            print: Print::new(
                &event.audience,
                &event.subject,
                op,
                event.data.map(RawValue::get),
            ),
        };
        if !received.is_named(module, &event.id) {
            return Err("`id` names another change than `epoch` and `sequence` do".to_owned());
        }
        Ok(received)
    }

    fn is_named(&self, module: &str, id: &str) -> bool {
        let mut parts = id.split('/');
        parts.next() == Some(module)
            && parts.next().and_then(|part| part.parse().ok()) == Some(self.epoch.get())
            && parts.next().and_then(|part| part.parse().ok()) == Some(self.position.get())
            && parts.next().is_none()
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{name}` is no number"))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        domain::{Audience, JsonText, Micros},
        mirror::event,
    };

    fn change(op: Op, value: &str) -> Change {
        Change {
            epoch: Epoch::new(3),
            position: Position::new(42),
            previous: Position::new(40),
            audience: Audience::stored("U\"1"),
            key: "k\n".into(),
            op,
            value: JsonText::stored(value),
            change_id: None,
            occurred_at: Micros::new(0),
            sequenced_at: Micros::new(0),
        }
    }

    #[test]
    fn what_is_published_is_read_as_the_change_that_it_is() {
        for (op, value) in [(Op::Upsert, r#" {"a" : 1.10} "#), (Op::Delete, "null")] {
            let change = change(op, value);
            let mut event = BytesMut::new();
            event::encode(&"m1".parse().unwrap(), &change, &mut event);
            let received = Received::parse("m1", 7, &event).unwrap();
            assert_eq!(received.position, change.position);
            assert_eq!(received.previous, change.previous);
            assert_eq!(received.epoch, change.epoch);
            assert!(received.print.stands_for(Print::of(&change)));
            let other = self::change(op, r#"{"a" : 1.1}"#);
            assert!(!received.print.stands_for(Print::of(&other)));
            let why = Received::parse("m2", 7, &event).unwrap_err();
            assert!(why.contains("`id`"), "{why}");
        }
    }

    #[test]
    fn an_event_without_data_stands_for_any_value() {
        let event = concat!(
            r#"{"specversion":"1.0","id":"m1/3/42","source":"/changeover/m1","type":"changeover.upsert","#,
            r#""subject":"k\n","sequence":"42","previous":"40","epoch":"3","audience":"U\"1","dataref":"x"}"#
        );
        let received = Received::parse("m1", 7, event.as_bytes()).unwrap();
        assert!(
            received
                .print
                .stands_for(Print::of(&change(Op::Upsert, "1")))
        );
        assert!(
            !received
                .print
                .stands_for(Print::of(&change(Op::Delete, "1")))
        );
    }

    #[test]
    fn what_is_no_event_is_named() {
        assert!(Received::parse("m1", 7, b"{}").is_err());
        assert!(Received::parse("m1", 7, b"\xff").is_err());
    }
}
