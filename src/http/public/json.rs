//! Writing JSON around parts that are copied as they are.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use crate::{domain::Change, mirror::event, native::Page};

/// Writes formatted text to memory.
macro_rules! push {
    ($out:expr, $($arg:tt)*) => {{
        use std::fmt::Write;
        write!($out, $($arg)*).expect("writing to memory does not fail")
    }};
}
pub(super) use push;

/// Appends a text, a number, or nothing of the kind as JSON.
pub(super) fn push_json(out: &mut BytesMut, value: &impl Serialize) {
    serde_json::to_writer(out.writer(), value).expect("texts and numbers have a JSON form");
}

/// Appends the changes as an array of the events that the mirror publishes, byte for byte.
pub(super) fn push_events(out: &mut BytesMut, module: &crate::domain::ModuleName, page: &Page) {
    out.put_u8(b'[');
    for (n, change) in page.changes.iter().enumerate() {
        if n > 0 {
            out.put_u8(b',');
        }
        let change: &Change = change;
        event::encode(module, change, out);
    }
    out.put_u8(b']');
}
