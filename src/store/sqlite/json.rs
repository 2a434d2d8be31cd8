//! Many rows as one bound parameter: a JSON array that `json_each` takes apart again.
//!
//! Texts travel as JSON strings and come out byte for byte, values among them.

use serde::Serialize;

/// Texts, integers and absent values as JSON.
pub(super) fn text(rows: &impl Serialize) -> String {
    serde_json::to_string(rows).expect("texts and integers are always JSON")
}
