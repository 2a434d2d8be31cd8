//! What is wrong with a configuration, all of it at once.

use std::fmt;

use super::{key_path::below, span::Span};

/// One thing that an operator has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `modules[1].poll.path`; empty for the configuration as a whole.
    pub path: String,
    /// What is wrong and what is allowed. Never holds a secret.
    pub message: String,
    /// Who said it: a file, an environment variable, a flag. Absent for a default.
    pub origin: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " (from {origin})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None so far.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A single problem of the configuration as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        let mut problems = Self::new();
        problems.push("", message);
        problems
    }

    /// Adds a problem at a key path.
    pub fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add(Problem {
            path: path.into(),
            message: message.into(),
            origin: None,
        });
    }

    /// Adds a problem.
    pub fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds the problems of another list, except at keys that this list already complains about:
    /// a value that could not be read was replaced by its default, and complaints about that
    /// default would mislead.
    pub fn add_unless_known(&mut self, others: Self) {
        let known = self.0.len();
        for problem in others.0 {
            let covered = |p: &Problem| !p.path.is_empty() && below(&problem.path, &p.path);
            if !self.0[..known].iter().any(covered) {
                self.0.push(problem);
            }
        }
    }

    /// Says in other words what is wrong at a key.
    pub(super) fn restate(&mut self, path: &str, message: String) {
        if let Some(problem) = self.0.iter_mut().find(|problem| problem.path == path) {
            problem.message = message;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Says where each problem's value came from.
    pub(super) fn attribute(&mut self, origin_of: impl Fn(&str) -> Option<String>) {
        for problem in self.0.iter_mut().filter(|p| p.origin.is_none()) {
            problem.origin = origin_of(&problem.path);
        }
    }

    /// Requires `value` to be between `min` and `max`.
    pub(super) fn bound<N>(&mut self, path: &str, value: N, min: u64, max: u64)
    where
        N: TryInto<u64> + fmt::Display + Copy,
    {
        let inside = value.try_into().is_ok_and(|n| (min..=max).contains(&n));
        if !inside {
            self.push(path, format!("must be from {min} to {max}, not {value}"));
        }
    }

    /// Requires a span to be between two others, in the notation of operators.
    pub(super) fn bound_span(&mut self, path: &str, value: Span, min: &str, max: &str) {
        let span = |text| humantime::parse_duration(text).expect("bounds are written by us");
        if value.get() < span(min) || value.get() > span(max) {
            self.push(path, format!("must be from {min} to {max}, not {value}"));
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
