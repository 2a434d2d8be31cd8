//! Everything that reads what strangers send, as functions of bytes that hold its promises or panic.
//!
//! Each stands in its own room, beside what it tries, so nothing has to be made public for it. `fuzz/` has a target for
//! each, and the tests below replay what that has found, so a build without a nightly compiler replays it too.
//! Here for tests and fuzzers only: the program holds none of this.

pub use crate::{
    config::strangers::config,
    domain::strangers::{cursor, words},
    http::{
        private::strangers::{hooks, ingest},
        public::strangers::{flags, forwarded, session, several},
    },
    identity::strangers::token,
    mirror::strangers::{event, topic},
    poll::strangers::{batch, etag, quirks, request, template, time_cursor},
};

/// A target of `fuzz/`: its name, and what is tried with each input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. A new one is a line here, a file in `fuzz/fuzz_targets/` with its entry in `fuzz/Cargo.toml`, and a file in
/// `fuzz/corpus/`.
pub const TARGETS: &[Target] = &[
    ("batch", batch),
    ("config", config),
    ("cursor", cursor),
    ("etag", etag),
    ("event", event),
    ("flags", flags),
    ("forwarded", forwarded),
    ("hooks", hooks),
    ("ingest", ingest),
    ("quirks", quirks),
    ("request", request),
    ("session", session),
    ("several", several),
    ("template", template),
    ("time_cursor", time_cursor),
    ("token", token),
    ("topic", topic),
    ("words", words),
];

#[cfg(test)]
#[path = "strangers_tests.rs"]
mod tests;
