//! From what a read has found to the body of the answer.

use super::{
    asked::Reached,
    contract::Contract,
    json,
    page::{ItemView, Page},
    slots::{BodySlot, ItemSlot},
    template::Template,
    time_cursor,
    wording::Wording,
};
use crate::{
    config::modules::CursorKind,
    domain::{Clock, Transport},
};

/// What a body tells besides the page.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Asked only by a body that tells the time.
    pub(super) clock: &'a dyn Clock,
    pub(super) next_poll_ms: u64,
    pub(super) transport: Transport,
}

/// Room for one number, word or token.
const SLOT_BYTES: usize = 32;

/// Writes a page into `body`, which is the endpoint's template for it.
pub(super) fn render(
    body: &Template<BodySlot>,
    contract: &Contract,
    page: &Page,
    around: Around<'_>,
) -> Vec<u8> {
    let wording = &contract.wording;
    let mut out = Vec::with_capacity(guess_bytes(body, wording, page));
    body.render(&mut out, |out, slot| match slot {
        BodySlot::Changes => push_items(out, wording, page),
        BodySlot::Cursor => push_cursor(out, contract.fields.kind, page.cursor),
        BodySlot::HasMore => json::push_bool(out, page.cut),
        BodySlot::Head => json::push_integer(out, page.head.get()),
        BodySlot::ServerTimeMs => {
            json::push_integer(out, page.cursor.time(around.clock.now()).as_millis());
        }
        BodySlot::Count => json::push_integer(out, page.items.len()),
        BodySlot::NextPollMs => json::push_integer(out, around.next_poll_ms),
        BodySlot::Transport => json::push_string(out, around.transport.as_str()),
        BodySlot::Snapshot => json::push_bool(out, page.snapshot),
        BodySlot::Module => json::push_string_or_null(out, contract.called.as_deref()),
    });
    out
}

fn push_items(out: &mut Vec<u8>, wording: &Wording, page: &Page) {
    out.push(b'[');
    let mut first = true;
    page.items.each(|item| {
        if !first {
            out.push(b',');
        }
        first = false;
        push_item(out, wording, &item);
    });
    out.push(b']');
}

fn push_item(out: &mut Vec<u8>, wording: &Wording, item: &ItemView<'_>) {
    let change = item.change;
    wording.item.render(out, |out, slot| match slot {
        ItemSlot::Key => json::push_string(out, item.key),
        ItemSlot::Op => out.extend_from_slice(wording.ops.of(item.op)),
        ItemSlot::Position => json::push_integer(out, item.position.get()),
        ItemSlot::Previous => {
            json::push_integer_or_null(out, change.map(|change| change.previous.get()));
        }
        ItemSlot::Value => out.extend_from_slice(item.value.as_bytes()),
        ItemSlot::Audience => json::push_string(out, item.audience),
        ItemSlot::ChangeId => {
            json::push_string_or_null(out, change.and_then(|change| change.change_id.as_deref()));
        }
        ItemSlot::OccurredAtMs => {
            json::push_integer_or_null(out, change.map(|change| change.occurred_at.as_millis()));
        }
        ItemSlot::SequencedAtMs => {
            json::push_integer_or_null(out, change.map(|change| change.sequenced_at.as_millis()));
        }
    });
}

fn push_cursor(out: &mut Vec<u8>, kind: CursorKind, reached: Reached) {
    match (reached, kind) {
        (Reached::Position(cursor), CursorKind::Token | CursorKind::Etag) => {
            json::push_string(out, &cursor.to_string());
        }
        (Reached::Position(cursor), _) => json::push_integer(out, cursor.position.get()),
        (Reached::Tick { at, .. }, CursorKind::TimestampS) => {
            json::push_integer(out, at.as_secs());
        }
        (Reached::Tick { at, .. }, CursorKind::Rfc3339) => {
            json::push_string(out, &time_cursor::rfc3339_text(at));
        }
        (Reached::Tick { at, .. }, _) => json::push_integer(out, at.as_millis()),
    }
}

/// Enough for most answers, so that the text is written without moving it.
fn guess_bytes(body: &Template<BodySlot>, wording: &Wording, page: &Page) -> usize {
    let item = wording.item.literal_bytes() + SLOT_BYTES * wording.item.slots();
    let mut bytes = body.literal_bytes() + SLOT_BYTES * (body.slots() + 1);
    page.items
        .each(|view| bytes += item + view.key.len() + view.value.len());
    bytes
}
