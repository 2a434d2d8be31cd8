//! Templates: whatever compiles renders JSON, whatever fills it.

use serde_json::{Value, value::RawValue};

use super::is_json;
use crate::{
    domain::strangers::Pieces,
    poll::{
        json,
        slots::{BodySlot, ErrorSlot, ItemSlot},
        template::{Slot, Template},
    },
};

/// What fills the slots of a template.
struct Filling<'i> {
    text: &'i str,
    /// JSON, as a producer wrote it.
    value: &'i str,
    number: i64,
}

/// Compiles a text as each kind of template, and renders it.
pub fn template(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let [template, text, value] = [pieces.text(), pieces.text(), pieces.text()];
    let value = serde_json::from_str::<&RawValue>(value).map_or("{}", RawValue::get);
    let filling = Filling {
        text,
        value,
        number: i64::try_from(text.len()).unwrap_or(0) - 2,
    };
    with::<ItemSlot>(template, &filling);
    with::<BodySlot>(template, &filling);
    with::<ErrorSlot>(template, &filling);
}

fn with<S: Slot>(text: &str, filling: &Filling<'_>) {
    let Ok(template) = Template::<S>::compile(text) else {
        return;
    };
    assert!(is_json(text.as_bytes()), "only JSON compiles");
    let mut filled = 0;
    let mut out = Vec::new();
    template.render(&mut out, |out, slot| {
        filled += 1;
        fill(out, slot, filling);
    });
    assert_eq!(filled, template.slots(), "each slot is filled once");
    let shown = String::from_utf8_lossy(&out);
    assert!(is_json(&out), "{text:?} became {shown:?}");
    if filled == 0 {
        assert_eq!(out, text.as_bytes(), "text is kept byte for byte");
    }
    let parsed: Result<(Value, Value), _> =
        serde_json::from_str(text).and_then(|before| Ok((before, serde_json::from_slice(&out)?)));
    if let Ok((before, after)) = parsed {
        assert_eq!(kind(&before, &after), kind(&after, &before));
    }
}

fn fill<S: Slot>(out: &mut Vec<u8>, slot: S, filling: &Filling<'_>) {
    if slot.is_number() {
        json::push_integer(out, filling.number);
    } else if slot.has_members() {
        out.extend_from_slice(filling.value.as_bytes());
    } else {
        json::push_string(out, filling.text);
    }
}

/// What a template is besides a single slot: an object stays one, and so does a list, with as many elements.
fn kind(one: &Value, other: &Value) -> Option<usize> {
    match (one, other) {
        (Value::String(_), _) | (_, Value::String(_)) => None,
        (Value::Array(elements), _) => Some(elements.len()),
        (Value::Object(_), _) => Some(usize::MAX),
        _ => Some(usize::MAX - 1),
    }
}
