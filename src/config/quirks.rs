//! `modules.poll.quirks`: what single old clients need beyond the contract, by name.
//!
//! Invariant: each quirk says what it does, who needs it and when it may go; this table is where
//! the configuration, its errors and `docs/LEGACY.md` take it from.

use serde::{Deserialize, Serialize};

use super::{
    Problems,
    modules::{CursorKind, Poll},
};

/// A deviation from the contract that some clients need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quirk {
    /// Names of query parameters in any case.
    AnyCaseParameters,
    /// ASCII only in bodies.
    AsciiJson,
    /// One request per connection.
    CloseConnection,
    /// Script in place of JSON.
    JsonpCallback,
    /// The last of a repeated query parameter.
    LastParameterCounts,
    /// Words that mean "no cursor".
    NullCursorIsAbsent,
    /// The path with a slash at its end.
    TrailingSlash,
    /// A byte order mark.
    Utf8Bom,
    /// Limits that mean "as many as you have".
    ZeroLimitIsMost,
}

/// What is to be known about a quirk.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// What it changes.
    pub does: &'static str,
    /// The clients that need it.
    pub needed_by: &'static str,
    /// When it may be removed from the configuration.
    pub removable_when: &'static str,
}

impl Quirk {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 9] = [
        Self::TrailingSlash,
        Self::AnyCaseParameters,
        Self::LastParameterCounts,
        Self::NullCursorIsAbsent,
        Self::ZeroLimitIsMost,
        Self::AsciiJson,
        Self::JsonpCallback,
        Self::Utf8Bom,
        Self::CloseConnection,
    ];

    /// Its name in the configuration and in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnyCaseParameters => "any-case-parameters",
            Self::AsciiJson => "ascii-json",
            Self::CloseConnection => "close-connection",
            Self::JsonpCallback => "jsonp-callback",
            Self::LastParameterCounts => "last-parameter-counts",
            Self::NullCursorIsAbsent => "null-cursor-is-absent",
            Self::TrailingSlash => "trailing-slash",
            Self::Utf8Bom => "utf8-bom",
            Self::ZeroLimitIsMost => "zero-limit-is-most",
        }
    }

    /// What is to be known about it.
    pub const fn about(self) -> About {
        let (does, needed_by, removable_when) = match self {
            Self::AnyCaseParameters => (
                "Names of query parameters are the contract's in any case of letters: `UID=u1` is `uid=u1`.",
                "Clients of old ASP, ColdFusion and Windows servers, which never told letters apart.",
                "its counter stands still: every client writes the names as configured",
            ),
            Self::AsciiJson => (
                "Characters beyond ASCII in a body become `\\uXXXX`, which means the same in JSON.",
                "Clients that read the body in the code page of their machine (GBK, Latin-1) in place of UTF-8.",
                "its counter stands still, or these clients read UTF-8; the values alone do not show who needs it",
            ),
            Self::CloseConnection => (
                "Each answer says `Connection: close`, and the connection ends with it.",
                "Clients that read until the connection ends, or that fail when a kept connection is closed while idle.",
                "no client of the module's endpoint reads to the end of the connection; it counts every answer",
            ),
            Self::JsonpCallback => (
                "With the query parameter `callback` the answer is a script that hands the body to that function. A name other than letters, digits, `_`, `$` and dots, up to 64, is ignored. Such answers have no `ETag`.",
                "Pages of another origin from before CORS.",
                "its counter stands still: the pages use `fetch`",
            ),
            Self::LastParameterCounts => (
                "Of a repeated query parameter of the contract the last one counts, not the first.",
                "Clients that append to their URL and were served by PHP, which keeps the last.",
                "its counter stands still: nobody repeats a parameter with another value",
            ),
            Self::NullCursorIsAbsent => (
                "A cursor of `null`, `undefined`, `NaN`, `None`, `nil`, `false` or `-1` is an absent one: the beginning. Any other malformed cursor is still refused.",
                "Clients that write a variable into the URL before it has a value.",
                "its counter stands still",
            ),
            Self::TrailingSlash => (
                "The path is served with a slash at its end too.",
                "Clients that were sent there by a redirect of the old server.",
                "its counter stands still",
            ),
            Self::Utf8Bom => (
                "A body begins with the UTF-8 byte order mark.",
                "Clients on old Windows libraries that take UTF-8 for their code page without it.",
                "no such client polls any more; it counts every body",
            ),
            Self::ZeroLimitIsMost => (
                "A limit of `0` or `-1` means `limit.max`.",
                "Clients that ask for all there is.",
                "its counter stands still",
            ),
        };
        About {
            does,
            needed_by,
            removable_when,
        }
    }
}

/// Whether the quirks of an endpoint are each named once and can have an effect.
pub(super) fn validate(poll: &Poll, path: &str, problems: &mut Problems) {
    for (n, quirk) in poll.quirks.iter().enumerate() {
        let at = format!("{path}.quirks[{n}]");
        if poll.quirks[..n].contains(quirk) {
            problems.push(at, format!("`{}` is named twice", quirk.as_str()));
        } else if *quirk == Quirk::ZeroLimitIsMost && poll.limit.place.is_none() {
            let why = format!("has no effect: clients cannot choose, {path}.limit.in is not set");
            problems.push(at, why);
        } else if *quirk == Quirk::JsonpCallback && poll.cursor.kind == CursorKind::Etag {
            let why = "a script cannot send the tag that is the cursor";
            problems.push(at, why);
        } else if *quirk == Quirk::NullCursorIsAbsent && !poll.cursor.kind.is_named() {
            problems.push(at, "has no effect: this kind of cursor is never malformed");
        } else if *quirk == Quirk::TrailingSlash && poll.path.ends_with('/') {
            let why = format!("has no effect: {path}.path ends with a slash");
            problems.push(at, why);
        }
    }
}
