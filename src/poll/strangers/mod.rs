//! What legacy polls must hold whatever a stranger sends, and templates whatever somebody configures: for `fuzz/`, and
//! for the tests that replay its corpus.

mod batch;
mod etag;
mod quirks;
mod request;
mod template;
mod time_cursor;

pub use batch::batch;
pub use etag::etag;
pub use quirks::quirks;
pub use request::request;
pub use template::template;
pub use time_cursor::time_cursor;

use serde::de::IgnoredAny;

/// Whether bytes are JSON, however deep.
fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}
