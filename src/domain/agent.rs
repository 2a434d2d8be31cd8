//! A pattern for what clients say of their program and version.

use std::{fmt, str::FromStr};

use memchr::memmem;

use super::Invalid;

/// So much of an agent is looked at, in bytes: whoever sends more gains nothing by it.
const AGENT_BYTES: usize = 256;

/// A text in which `*` stands for anything, nothing included. It is compared with the whole agent, byte for byte; the time
/// that takes grows with the agent alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentPattern(Box<str>);

impl AgentPattern {
    /// Whether an agent is one of these. One that says nothing is none.
    pub fn matches(&self, agent: &[u8]) -> bool {
        let agent = &agent[..agent.len().min(AGENT_BYTES)];
        let Some((first, rest)) = self.0.split_once('*') else {
            return !agent.is_empty() && agent == self.0.as_bytes();
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let between = agent
            .strip_prefix(first.as_bytes())
            .and_then(|agent| agent.strip_suffix(last.as_bytes()));
        let Some(mut between) = between.filter(|_| !agent.is_empty()) else {
            return false;
        };
        // The earliest place leaves most for those behind it.
        middle.split('*').all(|part| {
            let found = memmem::find(between, part.as_bytes());
            if let Some(at) = found {
                between = &between[at + part.len()..];
            }
            found.is_some()
        })
    }
}

impl FromStr for AgentPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("agent", "must not be empty"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AgentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, agent, expected) in [
            ("Terminal/3.2", "Terminal/3.2", true),
            ("Terminal/3.2", "Terminal/3.21", false),
            ("Terminal/3.*", "Terminal/3.2", true),
            ("Terminal/3.*", "Terminal/3.", true),
            ("Terminal/3.*", "terminal/3.2", false),
            ("*", "x", true),
            ("*", "", false),
            ("*/3.*", "Terminal/3.2", true),
            ("*/3.*", "Terminal/2.3", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "ac", false),
            ("a*b*b*c", "abc", false),
            ("ab*ba", "aba", false),
            ("**x**", "x", true),
            ("*x*y*", "yx", false),
        ] {
            let parsed: AgentPattern = pattern.parse().unwrap();
            assert_eq!(
                parsed.matches(agent.as_bytes()),
                expected,
                "{pattern} {agent}"
            );
        }
        assert!("".parse::<AgentPattern>().is_err());
    }

    #[test]
    fn the_end_of_an_endless_agent_is_not_looked_at() {
        let agent = [b"a".repeat(AGENT_BYTES), b"b".to_vec()].concat();
        let matches = |pattern: &str| pattern.parse::<AgentPattern>().unwrap().matches(&agent);
        assert!(!matches("*b"));
        assert!(matches("a*"));
    }
}
