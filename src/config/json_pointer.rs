//! JSON pointers, RFC 6901: where in a JSON document a value stands.

use std::{fmt, str::FromStr};

use serde_json::Value;

/// A pointer, taken apart. The empty one means the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPointer {
    text: Box<str>,
    steps: Box<[Box<str>]>,
}

/// The text is no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPointer {
    /// It does not begin with `/`.
    #[error("must begin with `/`, as in /data/since (a JSON pointer, RFC 6901)")]
    NoSlash,
    /// A `~` that escapes nothing.
    #[error("must write `~` as `~0` and a `/` inside of a name as `~1` (a JSON pointer, RFC 6901)")]
    Escape,
}

impl FromStr for JsonPointer {
    type Err = NoPointer;

    fn from_str(text: &str) -> Result<Self, NoPointer> {
        let steps = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(unescape).collect::<Result<_, _>>()?,
            None if text.is_empty() => Box::default(),
            None => return Err(NoPointer::NoSlash),
        };
        Ok(Self {
            text: text.into(),
            steps,
        })
    }
}

/// `~1` is `/` and `~0` is `~`, replaced in this order: `~01` is `~1`.
fn unescape(step: &str) -> Result<Box<str>, NoPointer> {
    let mut escapes = step.split('~').skip(1);
    if escapes.any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(NoPointer::Escape);
    }
    Ok(step.replace("~1", "/").replace("~0", "~").into())
}

impl JsonPointer {
    /// The value there, if there is one.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.steps
            .iter()
            .try_fold(document, |value, step| match value {
                Value::Object(members) => members.get(&**step),
                Value::Array(elements) => elements.get(index(step)?),
                _ => None,
            })
    }
}

/// Digits without a leading zero.
fn index(step: &str) -> Option<usize> {
    let plain = step.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (step == "0" || !step.starts_with('0'));
    step.parse().ok().filter(|_| canonical)
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 6901, section 5.
    #[test]
    fn the_examples_of_the_specification_hold() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5,
            "k\"l": 6, " ": 7, "m~n": 8
        });
        for (pointer, value) in [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            let parsed: JsonPointer = pointer.parse().unwrap();
            assert_eq!(parsed.find(&document), Some(&value), "{pointer}");
            assert_eq!(parsed.to_string(), pointer);
        }
        for nothing in [
            "/bar",
            "/foo/2",
            "/foo/00",
            "/foo/-",
            "/foo/+1",
            "/foo/0/x",
            "/foo/99999999999999999999",
        ] {
            let parsed: JsonPointer = nothing.parse().unwrap();
            assert_eq!(parsed.find(&document), None, "{nothing}");
        }
    }

    #[test]
    fn escapes_are_read_once() {
        let parsed: JsonPointer = "/~01".parse().unwrap();
        assert_eq!(parsed.find(&json!({"~1": 1})), Some(&json!(1)));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        assert_eq!("since".parse::<JsonPointer>(), Err(NoPointer::NoSlash));
        for text in ["/~", "/a~", "/~2", "/a/~~0"] {
            assert_eq!(
                text.parse::<JsonPointer>(),
                Err(NoPointer::Escape),
                "{text}"
            );
        }
    }
}
