//! Why a template does not compile.

use super::Slot;

/// Why a template does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no JSON.
    #[error("is not valid JSON: {0}")]
    Syntax(String),
    /// A `$name` that this kind of template does not know.
    #[error(
        "`${name}` ({place}) is not known here; known are {known}. To write it as text, begin it with \\u0024"
    )]
    Unknown {
        /// The name.
        name: String,
        /// Where it stands.
        place: Place,
        /// The names that are known.
        known: String,
    },
    /// A `$name:form` with a form that there is not, or not for this name.
    #[error(
        "`${name}:{form}` ({place}) is not known here; `:string` may follow {numbers}. To write it as text, begin it with \\u0024"
    )]
    Form {
        /// The name.
        name: String,
        /// What follows the colon.
        form: String,
        /// Where it stands.
        place: Place,
        /// The names that stand for numbers.
        numbers: String,
    },
    /// A member `"..."` whose value cannot be spread.
    #[error("\"...\" ({place}) spreads {known} here, written \"...\": \"$name\"")]
    Spread {
        /// Where it stands.
        place: Place,
        /// The names whose members may be spread.
        known: String,
    },
    /// A second `"..."` in one object.
    #[error("\"...\" ({0}) stands twice in one object")]
    SpreadTwice(Place),
}

/// A place in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
}

impl Place {
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: at - line_start + 1,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The names of a kind of template that `keep` keeps, as they are written; `nothing` if none.
pub(super) fn names<S: Slot>(keep: impl Fn(S) -> bool) -> String {
    let kept = S::NAMES.iter().filter(|(_, slot)| keep(*slot));
    let written: Vec<_> = kept.map(|(name, _)| format!("${name}")).collect();
    if written.is_empty() {
        "nothing".to_owned()
    } else {
        written.join(" ")
    }
}
