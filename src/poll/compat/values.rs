//! What clients write where they have no value yet, or want all there is.

/// What languages and templates write for a variable without a value.
const NO_CURSOR: [&str; 7] = ["null", "undefined", "NaN", "None", "nil", "false", "-1"];

pub(super) fn is_no_cursor(text: &str) -> bool {
    NO_CURSOR.contains(&text)
}

pub(super) fn is_most(text: &str) -> bool {
    matches!(text, "0" | "-1")
}
