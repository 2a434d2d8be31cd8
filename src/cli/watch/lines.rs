//! What a client gets, one line each: short ones for eyes, JSON for programs.

use serde_json::{json, value::RawValue};

use crate::{
    client::{By, Change, Way},
    domain::{JsonText, ModuleName},
};

/// A change. Control characters never reach a terminal.
pub(super) fn change(module: &ModuleName, change: &Change, by: By, terminal: bool) -> String {
    let value = change.value.as_ref().map_or("null", JsonText::as_str);
    let (audience, position, op) = (&change.audience, change.position, change.op);
    if terminal {
        let (audience, key) = (audience.as_str().escape_debug(), change.key.escape_debug());
        let value = value.replace(char::is_control, " ");
        return format!(
            "{position:>8}  {:<5}  {audience}  {op}  {key}  {value}",
            by.as_str()
        );
    }
    let line = json!({
        "module": module,
        "by": by.as_str(),
        "epoch": change.epoch,
        "position": position,
        "previous": change.previous,
        "audience": audience,
        "op": op,
        "key": change.key,
    });
    with_value(&line.to_string(), value)
}

/// The value stays as it was written, but for line breaks between its tokens.
fn with_value(line: &str, value: &str) -> String {
    let value = value.replace(['\n', '\r'], " ");
    let members = line.strip_suffix('}').unwrap_or(line);
    debug_assert!(serde_json::from_str::<&RawValue>(&value).is_ok());
    format!(r#"{members},"value":{value}}}"#)
}

/// How changes come from now on.
pub(super) fn way(module: &ModuleName, way: Way, terminal: bool) -> String {
    let (word, told) = match way {
        Way::Polling => ("polling", "polls"),
        Way::Joining => ("joining", "polls, on the way to push"),
        Way::Away => ("away", "polls, the broker is away"),
        Way::CatchingUp => ("catching-up", "reads what was missed"),
        Way::Live => ("live", "push"),
    };
    if terminal {
        format!("-- {told}")
    } else {
        json!({"module": module, "way": word}).to_string()
    }
}

/// What was shown is replaced by what follows.
pub(super) fn forget(module: &ModuleName, terminal: bool) -> String {
    if terminal {
        "-- what was shown is replaced by what follows".to_owned()
    } else {
        json!({"module": module, "forget": true}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Audience, Epoch, Op, Position};

    fn example(key: &str, value: &str) -> Change {
        Change {
            epoch: Epoch::FIRST,
            position: Position::new(12),
            previous: Position::new(9),
            audience: Audience::everyone(),
            key: key.into(),
            op: Op::Upsert,
            value: Some(JsonText::stored(value)),
        }
    }

    #[test]
    fn a_line_for_eyes_holds_no_control_characters() {
        let module = "m1".parse().unwrap();
        let line = change(
            &module,
            &example("k\u{1b}[2J", "{\"a\":\n1}"),
            By::Push,
            true,
        );
        assert_eq!(line, "      12  push   *  upsert  k\\u{1b}[2J  {\"a\": 1}");
    }

    #[test]
    fn a_line_for_programs_is_json_with_the_value_as_it_was_written() {
        let module = "m1".parse().unwrap();
        let line = change(&module, &example("k", "{\"a\":\n1.10}"), By::Read, false);
        assert!(line.ends_with(r#","value":{"a": 1.10}}"#), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&read["by"], &read["position"]),
            (&json!("read"), &json!(12))
        );
    }
}
