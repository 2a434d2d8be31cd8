//! One change as a `CloudEvent` in binary mode: the value as the payload, every other attribute a user property
//! of MQTT 5 under its own name.
//!
//! Invariant: it is the event that [`super::event`] writes in structured mode, and [`structured`] gives those very
//! bytes back.

use bytes::{BufMut, Bytes, BytesMut};

use super::event::rfc3339;
use crate::domain::{Change, ModuleName, Op};

/// The content type of the payload: the event's `datacontenttype`, which stands nowhere else.
pub const CONTENT_TYPE: &str = "application/json";

/// User properties, in their order.
pub type Attributes = Vec<(String, String)>;

/// The attributes of a change's event. Its payload is the value.
pub fn attributes(module: &ModuleName, change: &Change) -> Attributes {
    let (epoch, position) = (change.epoch, change.position);
    let kind = match change.op {
        Op::Upsert => "changeover.upsert",
        Op::Delete => "changeover.delete",
    };
    let pairs = [
        ("specversion", "1.0".to_owned()),
        ("id", format!("{module}/{epoch}/{position}")),
        ("source", format!("/changeover/{module}")),
        ("type", kind.to_owned()),
        ("subject", change.key.to_string()),
        ("time", rfc3339(change.occurred_at)),
        ("sequence", format!("{:020}", position.get())),
        ("previous", format!("{:020}", change.previous.get())),
        ("epoch", epoch.to_string()),
        ("audience", change.audience.as_str().to_owned()),
    ];
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    pairs.into_iter().map(owned).collect()
}

/// What the attributes take of a packet, in bytes: an identifier and two lengths each.
pub fn size(attributes: &Attributes) -> usize {
    let one = |(name, value): &(String, String)| 5 + name.len() + value.len();
    attributes.iter().map(one).sum()
}

/// The structured form of a message in binary mode, so that whoever listens has one parser. `None` if it is none: by
/// the MQTT binding a content type of `CloudEvents` says structured.
pub fn structured(content_type: &str, attributes: &Attributes, data: &[u8]) -> Option<Bytes> {
    let of_event = attributes.iter().any(|(name, _)| name == "specversion");
    if !of_event || content_type != CONTENT_TYPE {
        return None;
    }
    let mut out = BytesMut::with_capacity(size(attributes) + data.len() + 64);
    for (name, value) in attributes {
        out.put_u8(if out.is_empty() { b'{' } else { b',' });
        push_text(&mut out, name);
        out.put_u8(b':');
        push_text(&mut out, value);
        if name == "time" {
            out.put_slice(br#","datacontenttype":"#);
            push_text(&mut out, content_type);
        }
    }
    out.put_slice(br#","data":"#);
    out.put_slice(data);
    out.put_u8(b'}');
    Some(out.freeze())
}

fn push_text(out: &mut BytesMut, text: &str) {
    serde_json::to_writer(out.writer(), text).expect("text always has a JSON form");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Audience, Epoch, JsonText, Micros, Position},
        mirror::event,
    };

    #[test]
    fn both_forms_are_one_event() {
        let module = "m1".parse().unwrap();
        let change = Change {
            epoch: Epoch::new(2),
            position: Position::new(42),
            previous: Position::new(40),
            audience: Audience::stored("U\"1"),
            key: "k\\ü😀".into(),
            op: Op::Delete,
            value: JsonText::stored(r#"{"a":1.10}"#),
            change_id: None,
            occurred_at: Micros::new(1_784_117_045_000_250),
            sequenced_at: Micros::new(0),
        };
        let mut expected = BytesMut::new();
        event::encode(&module, &change, &mut expected);
        let attributes = attributes(&module, &change);
        let back = structured(CONTENT_TYPE, &attributes, change.value.as_str().as_bytes());
        assert_eq!(back.as_deref(), Some(&expected[..]));
        assert_eq!(structured(event::CONTENT_TYPE, &attributes, b"{}"), None);
        assert_eq!(structured(CONTENT_TYPE, &Vec::new(), b"{}"), None);
    }
}
