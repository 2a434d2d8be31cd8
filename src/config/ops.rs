//! `modules.poll.ops`: what `$op` says.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::Problems;

/// What `$op` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ops {
    /// For an upsert.
    pub upsert: OpWord,
    /// For a delete.
    pub delete: OpWord,
}

impl Default for Ops {
    fn default() -> Self {
        Self {
            upsert: OpWord::Text("upsert".to_owned()),
            delete: OpWord::Text("delete".to_owned()),
        }
    }
}

impl Ops {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        if self.upsert == self.delete {
            problems.push(
                format!("{path}.delete"),
                format!("must differ from {path}.upsert, or no client can tell them apart"),
            );
        }
    }
}

/// A JSON text, whole number, `true` or `false`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OpWord {
    /// Written in quotes.
    Text(String),
    /// Written as it is.
    Number(i64),
    /// Written as it is.
    Truth(bool),
}

impl<'de> Deserialize<'de> for OpWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl de::Visitor<'_> for Words {
            type Value = OpWord;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OpWord, E> {
                Ok(OpWord::Text(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<OpWord, E> {
                Ok(OpWord::Number(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<OpWord, E> {
                let small = i64::try_from(number);
                let number = small.map_err(|_| E::custom("is too large a number"))?;
                Ok(OpWord::Number(number))
            }
            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<OpWord, E> {
                Ok(OpWord::Truth(truth))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
