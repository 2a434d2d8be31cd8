//! The one error of this room: a value that may not exist, and why.

/// A refused value. `what` names the kind of value, `why` says what is wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Invalid {
    /// The kind of value, e.g. `module name`.
    pub what: &'static str,
    /// What is wrong with it, in words for the person who wrote it.
    pub why: String,
}

impl Invalid {
    /// A refusal of a `what` because of `why`.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self {
            what,
            why: why.into(),
        }
    }
}
