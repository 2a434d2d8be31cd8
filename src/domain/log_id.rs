//! Which database a log lives in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Invalid;

/// The identity of a database's logs, by chance and for ever: a copy has it too, another database has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u128);

/// As text: hexadecimal digits of 128 bits.
const DIGITS: usize = 32;

impl LogId {
    /// The identity of these random bits.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl FromStr for LogId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = text.len() == DIGITS && text.bytes().all(plain);
        let bits = whole.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        let bits = bits.ok_or_else(|| Invalid::new("log", "must be 32 digits of 0-9, a-f"))?;
        Ok(Self(bits))
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_its_text_and_nothing_else_is_one() {
        let id = LogId::new(0xab);
        let text = "000000000000000000000000000000ab";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(
            serde_json::from_str::<LogId>(&format!("\"{text}\"")).ok(),
            Some(id)
        );
        let wrong = [
            "",
            "ab",
            "000000000000000000000000000000AB",
            "+00000000000000000000000000000ab",
        ];
        assert!(wrong.iter().all(|text| text.parse::<LogId>().is_err()));
    }
}
