//! How what a credential says becomes a name: `account:{sub}`.

use std::{fmt, str::FromStr};

/// Text in which claims stand in braces. A claim that begins with `/` is a JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stands there as it is.
    Text(String),
    /// What the claim of this name says.
    Claim(String),
}

/// The longest pattern.
const MAX_BYTES: usize = 256;

impl Pattern {
    /// Its parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The parts, each with the text that stands behind it if another claim follows.
    ///
    /// What a claim says may hold no such text, or two callers would share a name: `u:1` and `x` with `u` and `1:x`.
    pub fn separated(&self) -> impl Iterator<Item = (&Part, Option<&str>)> {
        self.0.iter().enumerate().map(|(n, part)| {
            let separator = match (self.0.get(n + 1), self.0.get(n + 2)) {
                (Some(Part::Text(text)), Some(_)) => Some(text.as_str()),
                _ => None,
            };
            (part, separator.filter(|_| matches!(part, Part::Claim(_))))
        })
    }

    /// One claim and nothing else.
    pub fn claim(name: &str) -> Self {
        Self(vec![Part::Claim(name.to_owned())])
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > MAX_BYTES || text.chars().any(char::is_control) {
            return Err(format!(
                "must have at most {MAX_BYTES} bytes, none of them a control character"
            ));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, behind) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let claim = behind
                .strip_prefix('{')
                .and_then(|name| name.split_once('}'));
            let Some((name, behind)) = claim.filter(|(name, _)| is_name(name)) else {
                return Err(
                    "must have the name of a claim between `{` and `}`, as in \"account:{sub}\""
                        .to_owned(),
                );
            };
            if matches!(parts.last(), Some(Part::Claim(_))) {
                return Err(
                    "must have text between two claims: nobody could tell where one ends"
                        .to_owned(),
                );
            }
            parts.push(Part::Claim(name.to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('{')
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Claim(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}
