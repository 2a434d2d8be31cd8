//! Arguments of acts, as the admin API wants them.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Number, Value, json};

use crate::domain::{BasisPoints, Stage};

/// A time in UTC, of which the time of day may be missing.
pub(super) fn end_of_polls(text: &str) -> Result<String, String> {
    let time = if text.len() == 10 {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    let parsed = humantime::parse_rfc3339(&time);
    parsed.map(|_| time).map_err(|error| {
        format!("must be a day or a time in UTC such as 2027-03-01T08:00:00Z: {error}")
    })
}

/// What a list becomes; `None` if nothing is said of it.
pub(super) fn list(members: &[impl ToString], nobody: bool) -> Option<Value> {
    let members: Vec<_> = members.iter().map(ToString::to_string).collect();
    (nobody || !members.is_empty()).then(|| json!(members))
}

/// `33.33`, not `33.330000000000005`.
pub(super) fn as_number(percent: BasisPoints) -> Number {
    percent
        .to_string()
        .parse()
        .expect("a percentage is written as a JSON number")
}

/// Reads a stage; shells offer all of them.
pub(super) fn stage() -> impl TypedValueParser<Value = Stage> {
    PossibleValuesParser::new(Stage::ALL.map(Stage::as_str)).try_map(|word| word.parse::<Stage>())
}
