//! What readers of events must hold whatever a broker delivers.

use bytes::BytesMut;
use serde_json::value::RawValue;

use super::received::{Print, Received};
use crate::{
    client,
    domain::{
        Audience, Change, Epoch, JsonText, Micros, ModuleName, Op, Position, strangers::Pieces,
    },
    mirror::{binary_event, event},
};

/// Reads what a stranger published, then writes a change in both forms and reads it back.
pub fn event(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    of_a_stranger(pieces.bytes().unwrap_or_default());

    let Some(change) = change(&mut pieces) else {
        return;
    };
    let module: ModuleName = "m1".parse().expect("a name");
    let mut written = BytesMut::new();
    event::encode(&module, &change, &mut written);
    let received = Received::parse("m1", 0, &written).expect("what we write");
    assert!(received.print.stands_for(Print::of(&change)));
    let place = (received.epoch, received.position, received.previous);
    assert_eq!(place, (change.epoch, change.position, change.previous));

    let attributes = binary_event::attributes(&module, &change);
    let value = change.value.as_str().as_bytes();
    let again = binary_event::structured(binary_event::CONTENT_TYPE, &attributes, value);
    assert_eq!(
        again.as_deref(),
        Some(&*written),
        "both forms are one event"
    );

    match client::Message::parse(&written) {
        Ok(client::Message::Change(of, read)) => {
            assert_eq!(of, module);
            assert_eq!((&*read.key, read.op), (&*change.key, change.op));
            assert_eq!(read.audience, change.audience);
            assert_eq!(read.value, Some(change.value));
        }
        other => panic!("a change became {other:?}"),
    }
}

/// Readers agree on the change of a message that both can read.
fn of_a_stranger(payload: &[u8]) {
    let ours = Received::parse("m1", 0, payload);
    let told = client::Message::parse(payload);
    if let (Ok(ours), Ok(client::Message::Change(_, told))) = (&ours, &told) {
        assert_eq!((ours.epoch, ours.position), (told.epoch, told.position));
        assert_eq!(ours.previous, told.previous);
    }
    if let Err(why) = ours {
        assert!(why.len() < 100, "{why}");
    }
    // What answers a client's requests may be a stranger too.
    let _session = client::Session::parse(payload);
    let _polled = client::Polled::parse(payload);
    let _page = client::Page::of_stream(payload, "", true);
    let _state = client::StatePage::parse(payload);
}

fn change(pieces: &mut Pieces<'_>) -> Option<Change> {
    let mut number = || {
        let text = pieces.text();
        text.parse::<i64>().unwrap_or(0)
    };
    let [epoch, position, previous, time] = [number(), number(), number(), number()];
    let audience = Audience::new(pieces.text(), 64).ok()?;
    let key = pieces.text();
    let value = serde_json::from_str::<&RawValue>(pieces.text()).ok()?;
    Some(Change {
        epoch: Epoch::new(u32::try_from(epoch).unwrap_or(1)),
        position: Position::from_i64(position),
        previous: Position::from_i64(previous),
        audience,
        key: key.into(),
        op: if time % 2 == 0 {
            Op::Upsert
        } else {
            Op::Delete
        },
        value: JsonText::stored(value.get()),
        change_id: None,
        occurred_at: Micros::new(time),
        sequenced_at: Micros::new(time),
    })
}
