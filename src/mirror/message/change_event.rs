//! The shape of a published change, for the descriptions of MQTT and of the HTTP streams.
//!
//! Invariant: it is what [`super::event::encode`] writes, member by member; a test holds that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One change as a `CloudEvent` 1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeEvent {
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
    /// Always `application/json`.
    #[schema(pattern = "^application/json$")]
    pub datacontenttype: String,
    /// The position, padded so that it sorts as text.
    #[schema(pattern = "^[0-9]{20}$")]
    pub sequence: String,
    /// The position of the change before this one in the channel: whoever does not have it, has missed something.
    #[schema(pattern = "^[0-9]{20}$")]
    pub previous: String,
    /// The incarnation of the log.
    #[schema(pattern = "^[0-9]{1,10}$")]
    pub epoch: String,
    /// For whom; `*` is everyone.
    pub audience: String,
    /// The value, byte for byte as the producer wrote it.
    pub data: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        domain::{Audience, Change, Epoch, JsonText, Micros, Op, Position},
        mirror::event,
    };

    #[test]
    fn it_is_what_is_published() {
        for (op, value) in [(Op::Upsert, r#"{"a":[1]}"#), (Op::Delete, "null")] {
            let change = Change {
                epoch: Epoch::new(1),
                position: Position::new(42),
                previous: Position::new(40),
                audience: Audience::everyone(),
                key: "k".into(),
                op,
                value: JsonText::stored(value),
                change_id: None,
                occurred_at: Micros::new(0),
                sequenced_at: Micros::new(0),
            };
            let mut text = BytesMut::new();
            event::encode(&"m1".parse().unwrap(), &change, &mut text);
            let event: ChangeEvent = serde_json::from_slice(&text).unwrap();
            let again = serde_json::to_value(&event).unwrap();
            assert_eq!(
                again,
                serde_json::from_slice::<serde_json::Value>(&text).unwrap()
            );
        }
    }
}
