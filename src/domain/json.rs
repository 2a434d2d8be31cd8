//! JSON text that is kept as it came.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use super::Invalid;

/// One JSON value as the producer wrote it: `1.10`, `1e3` and 20-digit integers stay what they
/// are, because the text is validated once and from then on only copied. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The value of a delete that carries none.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// Validates `text` as exactly one JSON value. White space around it is not kept.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|error| Invalid::new("value", format!("is not valid JSON: {error}")))?;
        Ok(Self(raw.get().into()))
    }

    /// Text that is already in the store, where it was validated once.
    pub fn stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Whether more than `most` arrays and objects of a valid text stand within each other. Looks at each byte once, and takes nothing
    /// apart.
    pub fn is_deeper_than(text: &str, most: usize) -> bool {
        // Each of them has a beginning and an end.
        if text.len() / 2 <= most {
            return false;
        }
        let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
        for byte in text.bytes() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if in_string => is_escaped = true,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => depth += 1,
                b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > most {
                return true;
            }
        }
        false
    }

    /// The text, byte for byte as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Box<RawValue>> for JsonText {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw.get().into())
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn brackets_in_strings_are_no_levels() {
        let deeper = |text: &str, most| JsonText::is_deeper_than(text, most);
        assert!(!deeper("1", 0) && deeper("[]", 0) && !deeper("[]", 1));
        assert!(deeper("[[1]]", 1) && !deeper("[[1]]", 2));
        assert!(deeper(r#"{"a":{"b":[]}}"#, 2) && !deeper(r#"{"a":{"b":[]}}"#, 3));
        assert!(!deeper("[[],[],[],[],[]]", 2) && deeper("[[],[],[],[],[]]", 1));
        assert!(!deeper(r#"["[[[[[\"[[[[\\","]"]"#, 1));
        assert!(deeper(r#"["\\",["\"",[]]]"#, 2));
    }

    /// How deep it is, taken apart.
    fn depth(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            serde_json::Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn it_is_as_deep_as_its_parts_say(value in any_json()) {
            let (text, depth) = (value.to_string(), depth(&value));
            prop_assert!(!JsonText::is_deeper_than(&text, depth));
            prop_assert!(depth == 0 || JsonText::is_deeper_than(&text, depth - 1), "{}", text);
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let text = "[a\"\\\\\\[\\]{}]{0,6}";
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(Into::into),
            text.prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 40, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::hash_map(text, inner, 0..4)
                    .prop_map(|all| serde_json::Value::Object(all.into_iter().collect())),
            ]
        })
    }
}
