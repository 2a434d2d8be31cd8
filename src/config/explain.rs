//! A value that could not be read, in words for the person who wrote it.

use figment::error::{Actual, Kind};

use super::{key_path::KeyPath, redact};

/// How alike two names must be for one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// What is wrong with the value at `path`, and what is allowed there.
pub(super) fn explain(path: &KeyPath, error: &figment::Error) -> String {
    match &error.kind {
        Kind::UnknownField(name, known) => {
            gone(name).unwrap_or_else(|| unknown("key", name, known))
        }
        Kind::UnknownVariant(word, known) => unknown("value", word, known),
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            mismatch(path, found, wanted)
        }
        Kind::Message(text) if text.contains("socket address") => {
            "must be an IP address and a port, such as 127.0.0.1:8080".to_owned()
        }
        Kind::Message(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A key of earlier releases, and what is in its place.
fn gone(name: &str) -> Option<String> {
    let instead = match name {
        "private_insecure" => {
            "the private listener asks for tokens now (docs/OPERATIONS.md, \"Upgrading\")"
        }
        _ => return None,
    };
    Some(format!("the key `{name}` is gone: {instead}. Take it out"))
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let mut sorted = known.to_vec();
    sorted.sort_unstable();
    let all = format!("`{}`", sorted.join("`, `"));
    match nearest(name, known) {
        Some(near) => format!("unknown {what} `{name}`, did you mean `{near}`? Known are {all}"),
        None => format!("unknown {what} `{name}`. Known are {all}"),
    }
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |other: &&str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    known
        .iter()
        .map(|other| (likeness(other), *other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

fn mismatch(path: &KeyPath, found: &Actual, wanted: &str) -> String {
    let wanted = words(wanted);
    let hint = match found {
        Actual::Str(_) | Actual::Seq | Actual::Map => "",
        _ if wanted == "text" => ": put it in quotes",
        _ => "",
    };
    let shown = match found {
        // In the place of many values anything may stand in it, secrets too.
        Actual::Str(_) if ["a list", "a table"].contains(&&*wanted) => "text".to_owned(),
        _ => shown(path, found),
    };
    format!("must be {wanted}, not {shown}{hint}")
}

/// A whole number that is not one of its type: as it was written, and the largest one of the type.
pub(super) fn misfit(error: &figment::Error) -> Option<(String, u64)> {
    let (Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted)) = &error.kind else {
        return None;
    };
    Some((whole_number(found)?, largest(wanted)?))
}

/// Whether a whole number is wanted: then no text will do.
pub(super) fn wants_number(error: &figment::Error) -> bool {
    matches!(&error.kind, Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) if largest(wanted).is_some())
}

fn largest(wanted: &str) -> Option<u64> {
    match wanted {
        "u8" => Some(u8::MAX.into()),
        "u16" => Some(u16::MAX.into()),
        "u32" => Some(u32::MAX.into()),
        "u64" | "usize" | "f64" => Some(u64::MAX),
        _ => None,
    }
}

/// The digits of a whole number. One of more than 64 bits is told by serde in words.
fn whole_number(found: &Actual) -> Option<String> {
    match found {
        Actual::Unsigned(number) => Some(number.to_string()),
        Actual::Signed(number) => Some(number.to_string()),
        Actual::Other(words) => {
            let digits = words.strip_prefix("integer `")?.split_once('`')?.0;
            Some(digits.to_owned())
        }
        _ => None,
    }
}

fn shown(path: &KeyPath, found: &Actual) -> String {
    if let Some(number) = whole_number(found).filter(|_| !redact::is_secret(path.last_key())) {
        return number;
    }
    match found {
        _ if redact::is_secret(path.last_key()) => "what it is".to_owned(),
        Actual::Str(text) => format!("the text \"{}\"", redact::url(text)),
        Actual::Bool(value) => value.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// What serde calls a type, as operators know it. A least value is not said: the key may have one of its own, which is
/// checked later.
fn words(wanted: &str) -> String {
    match wanted {
        "u8" => format!("a whole number up to {}", u8::MAX),
        "u16" => format!("a whole number up to {}", u16::MAX),
        "u32" => format!("a whole number up to {}", u32::MAX),
        "u64" | "usize" => "a whole number, not below 0".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "socket address" => "an IP address and a port in quotes".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other if other.contains("enum") || other.contains("variant") => {
            "one of its words".to_owned()
        }
        other => other.to_owned(),
    }
}
