//! A change: before it has a number, and after.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Audience, Cursor, Epoch, Invalid, JsonText, Limits, Micros, ModuleName, Position};

/// What a change does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The key now has this value.
    Upsert,
    /// The key is gone.
    Delete,
}

impl Op {
    /// The word in the outbox, the log and the native formats.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for Op {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        match word {
            "upsert" => Ok(Self::Upsert),
            "delete" => Ok(Self::Delete),
            other => Err(Invalid::new(
                "op",
                format!("`{}` must be `upsert` or `delete`", other.escape_debug()),
            )),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change as a producer hands it in: valid, durable once the outbox has it, not numbered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChange {
    /// The module whose log it goes to.
    pub module: ModuleName,
    /// For whom it is.
    pub audience: Audience,
    /// What it is about.
    pub key: Box<str>,
    /// What happened to the key.
    pub op: Op,
    /// The key's value, `null` for a delete that carries none.
    pub value: JsonText,
    /// The producer's own id: the log holds a change with the same id once.
    pub change_id: Option<Box<str>>,
    /// When it happened, by the producer's word; absent = when it is numbered.
    pub occurred_at: Option<Micros>,
}

impl NewChange {
    /// Checks an entity key against the limits.
    pub fn check_key(key: &str, limits: &Limits) -> Result<(), Invalid> {
        check_text("key", key, limits.key_bytes)
    }

    /// Checks a change id against the limits.
    pub fn check_change_id(id: &str, limits: &Limits) -> Result<(), Invalid> {
        check_text("change_id", id, limits.change_id_bytes)
    }

    /// Checks a value's size against the limits.
    pub fn check_value_size(value: &str, limits: &Limits) -> Result<(), Invalid> {
        check_size("value", value, limits.value_bytes)
    }

    /// Checks how deep a valid value is against the limits.
    pub fn check_value_depth(value: &str, limits: &Limits) -> Result<(), Invalid> {
        if !JsonText::is_deeper_than(value, limits.value_depth) {
            return Ok(());
        }
        let why = format!(
            "has more than {} arrays and objects within each other (limits.value_depth)",
            limits.value_depth
        );
        Err(Invalid::new("value", why))
    }
}

fn check_text(what: &'static str, text: &str, max_bytes: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(what, "must not be empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(what, "must not contain control characters"));
    }
    check_size(what, text, max_bytes)
}

fn check_size(what: &'static str, text: &str, max_bytes: usize) -> Result<(), Invalid> {
    if text.len() <= max_bytes {
        return Ok(());
    }
    let why = format!("has {} bytes, at most {max_bytes} are allowed", text.len());
    Err(Invalid::new(what, why))
}

/// A numbered change of one module's log. Shared behind `Arc` by tail, polls and mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Incarnation of the log.
    pub epoch: Epoch,
    /// Its number.
    pub position: Position,
    /// Position of the channel's preceding change, zero for none: the gap detector.
    pub previous: Position,
    /// For whom it is.
    pub audience: Audience,
    /// What it is about.
    pub key: Box<str>,
    /// What happened to the key.
    pub op: Op,
    /// The key's value.
    pub value: JsonText,
    /// The producer's own id.
    pub change_id: Option<Box<str>>,
    /// When it happened, by the producer's word.
    pub occurred_at: Micros,
    /// When it was numbered, by the database's clock. Never decreases within a module.
    pub sequenced_at: Micros,
}

impl Change {
    /// The cursor of one who has seen the log up to and including this change.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.position)
    }

    /// Memory that the change takes in the tail, in bytes: texts, fixed part, and the shared
    /// pointers' counts.
    pub fn footprint_bytes(&self) -> usize {
        let texts = self.audience.as_str().len() + self.key.len() + self.value.as_str().len();
        let id = self.change_id.as_deref().map_or(0, str::len);
        size_of::<Arc<Self>>() + size_of::<Self>() + texts + id + 4 * size_of::<usize>()
    }
}
