//! An audience: for whom a change is.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// An account, a group, or `*` for everyone. Compared byte for byte: `U1`, `u1` and `u1 ` are
/// three audiences. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Audience(Arc<str>);

impl Audience {
    /// What `*` means in the outbox, in a request and on the log: everyone.
    pub const EVERYONE: &'static str = "*";

    /// The audience that every client belongs to.
    pub fn everyone() -> Self {
        Self(Self::EVERYONE.into())
    }

    /// An audience from text of at most `max_bytes`, not empty, without control characters.
    pub fn new(text: &str, max_bytes: usize) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("audience", "must not be empty"));
        }
        if text.len() > max_bytes {
            let why = format!("has {} bytes, at most {max_bytes} are allowed", text.len());
            return Err(Invalid::new("audience", why));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(
                "audience",
                "must not contain control characters",
            ));
        }
        Ok(Self(text.into()))
    }

    /// An audience that is already in the store, where it was admitted once under the limits of
    /// its day.
    pub fn stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The audience as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `*`.
    pub fn is_everyone(&self) -> bool {
        &*self.0 == Self::EVERYONE
    }
}

impl TryFrom<String> for Audience {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(&text, super::Limits::default().audience_bytes)
    }
}

impl From<Audience> for String {
    fn from(audience: Audience) -> Self {
        audience.0.as_ref().to_owned()
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
