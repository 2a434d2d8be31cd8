//! Pointer events: a change that a broker does not take whole, with the address at which its value is.
//!
//! Invariant: a read from the address begins with the change. A client takes a pointer for a gap.

use bytes::BytesMut;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event;
use crate::domain::{Change, Cursor, ModuleName, Position};

/// Why a change goes as a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its event is larger than the broker takes.
    TooLarge,
    /// The broker has refused it whole, often enough.
    Refused,
}

impl Why {
    /// As it is counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
        }
    }
}

/// Writes pointer events.
#[derive(Debug, Clone, Default)]
pub struct Pointers {
    base: Box<str>,
}

impl Pointers {
    /// Addresses below `server.public_url`; without it they are relative.
    pub fn below(public_url: Option<&str>) -> Self {
        let base = public_url.unwrap_or_default().trim_end_matches('/');
        Self { base: base.into() }
    }

    /// Appends the change without its value.
    pub(in crate::mirror) fn encode(
        &self,
        module: &ModuleName,
        change: &Change,
        out: &mut BytesMut,
    ) {
        event::encode_pointer(module, change, &self.dataref(module, change), out);
    }

    /// Where the module's stream begins with this change, for its audience.
    fn dataref(&self, module: &ModuleName, change: &Change) -> String {
        let before = change.position.get().saturating_sub(1);
        let before = Cursor::new(change.epoch, Position::new(before));
        let stream = format!("{}/v1/streams/{module}?offset={before}", self.base);
        if change.audience.is_everyone() {
            return stream;
        }
        let audience = utf8_percent_encode(change.audience.as_str(), NON_ALPHANUMERIC);
        format!("{stream}&audience={audience}")
    }
}

/// A change that this broker does not take whole: one `CloudEvent` 1.0 without data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointerEvent {
    /// Always `1.0`.
    #[schema(pattern = "^1\\.0$")]
    pub specversion: String,
    /// Module, epoch and position with slashes between.
    #[schema(example = "commission/1/42")]
    pub id: String,
    /// `/changeover/` and the module.
    #[schema(example = "/changeover/commission")]
    pub source: String,
    /// `changeover.upsert` or `changeover.delete`.
    #[schema(pattern = "^changeover\\.(upsert|delete)$")]
    pub r#type: String,
    /// The key.
    pub subject: String,
    /// When it happened, in UTC with microseconds.
    #[schema(format = DateTime)]
    pub time: String,
    /// The position, padded so that it sorts as text.
    #[schema(pattern = "^[0-9]{20}$")]
    pub sequence: String,
    /// The position of the change before this one in the channel.
    #[schema(pattern = "^[0-9]{20}$")]
    pub previous: String,
    /// The incarnation of the log.
    #[schema(pattern = "^[0-9]{1,10}$")]
    pub epoch: String,
    /// For whom; `*` is everyone.
    pub audience: String,
    /// Where the module's stream begins with this change. Relative to the gateway if it has no host.
    #[schema(
        example = "https://gateway.example.com/v1/streams/commission?offset=00000001_0000000000000029"
    )]
    pub dataref: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Audience, Epoch, JsonText, Micros, Op};

    fn change(audience: &str) -> Change {
        Change {
            epoch: Epoch::new(1),
            position: Position::new(42),
            previous: Position::new(40),
            audience: Audience::stored(audience),
            key: "k".into(),
            op: Op::Upsert,
            value: JsonText::stored("[1]"),
            change_id: None,
            occurred_at: Micros::new(0),
            sequenced_at: Micros::new(0),
        }
    }

    fn pointer(pointers: &Pointers, audience: &str) -> PointerEvent {
        let mut text = BytesMut::new();
        pointers.encode(&"m1".parse().unwrap(), &change(audience), &mut text);
        let event: PointerEvent = serde_json::from_slice(&text).unwrap();
        let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), all);
        event
    }

    #[test]
    fn it_leads_to_the_change() {
        let below = Pointers::below(Some("https://gw.example.com/push/"));
        assert_eq!(
            pointer(&below, "*").dataref,
            "https://gw.example.com/push/v1/streams/m1?offset=00000001_0000000000000029"
        );
        assert_eq!(
            pointer(&Pointers::below(None), "a&b=ü").dataref,
            "/v1/streams/m1?offset=00000001_0000000000000029&audience=a%26b%3D%C3%BC"
        );
    }
}
