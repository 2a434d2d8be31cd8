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
