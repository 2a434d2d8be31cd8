//! Where a value stands in the configuration: `modules[1].poll.response.body`.

use std::fmt;

use figment::value::{Dict, Value};
use serde_path_to_error as tracked;

/// One step into the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Steps from the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    /// The path without its last step; `None` for the root.
    pub(super) fn parent(&self) -> Option<(Self, &Step)> {
        let (last, parents) = self.0.split_last()?;
        Some((Self(parents.to_vec()), last))
    }

    /// The name of the last table entry on the way.
    pub(super) fn last_key(&self) -> &str {
        let key = |step: &'_ Step| matches!(step, Step::Key(_));
        match self.0.iter().rfind(|step| key(step)) {
            Some(Step::Key(key)) => key,
            _ => "",
        }
    }

    /// Adds a step into a table unless the path already ends with it.
    pub(super) fn ending_with(mut self, key: &str) -> Self {
        if !matches!(self.0.last(), Some(Step::Key(last)) if last == key) {
            self.0.push(Step::Key(key.to_owned()));
        }
        self
    }

    /// The value there.
    pub(super) fn find<'v>(&self, tree: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(tree, |value, step| match step {
            Step::Key(key) => value.as_dict()?.get(key),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }

    /// The value there, to change it.
    pub(super) fn find_mut<'v>(&self, tree: &'v mut Value) -> Option<&'v mut Value> {
        self.0
            .iter()
            .try_fold(tree, |value, step| match (step, value) {
                (Step::Key(key), Value::Dict(_, dict)) => dict.get_mut(key),
                (Step::Index(index), Value::Array(_, list)) => list.get_mut(*index),
                _ => None,
            })
    }

    /// Puts a value there, into the table or list that is there. Returns whether there is one.
    pub(super) fn put(&self, tree: &mut Value, new: Value) -> bool {
        let Some((parent, last)) = self.parent() else {
            return false;
        };
        match (last, parent.find_mut(tree)) {
            (Step::Key(key), Some(Value::Dict(_, dict))) => {
                dict.insert(key.clone(), new);
                true
            }
            (Step::Index(index), Some(Value::Array(_, list))) => match list.get_mut(*index) {
                Some(element) => {
                    *element = new;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// Takes the value out. An element of a list leaves an empty table behind, so that the paths
    /// of its siblings stay true; a second removal there takes the whole list. Returns whether
    /// there was anything to take.
    pub(super) fn remove(&self, tree: &mut Value) -> bool {
        let Some((parent, last)) = self.parent() else {
            return false;
        };
        match (last, parent.find_mut(tree)) {
            (Step::Key(key), Some(Value::Dict(_, dict))) if dict.contains_key(key) => {
                dict.remove(key);
                true
            }
            (Step::Index(index), Some(Value::Array(_, elements))) => match elements.get_mut(*index)
            {
                Some(element) if !is_empty_table(element) => {
                    *element = Value::Dict(element.tag(), Dict::new());
                    true
                }
                _ => parent.remove(tree),
            },
            _ => parent.remove(tree),
        }
    }
}

fn is_empty_table(value: &Value) -> bool {
    value.as_dict().is_some_and(Dict::is_empty)
}

impl From<&tracked::Path> for KeyPath {
    fn from(path: &tracked::Path) -> Self {
        let step = |segment: &tracked::Segment| match segment {
            tracked::Segment::Seq { index } => Some(Step::Index(*index)),
            tracked::Segment::Map { key } => Some(Step::Key(key.clone())),
            tracked::Segment::Enum { .. } | tracked::Segment::Unknown => None,
        };
        Self(path.iter().filter_map(step).collect())
    }
}

/// The way back from a path that was printed. Keys of this configuration hold no dots or brackets.
impl From<&str> for KeyPath {
    fn from(text: &str) -> Self {
        let parts = text
            .split(['.', '['])
            .map(|part| part.trim_end_matches(']'));
        let step = |part: &str| match part.parse() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Key(part.to_owned()),
        };
        Self(parts.filter(|part| !part.is_empty()).map(step).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if n == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether `path` is `ancestor` or inside it.
pub(super) fn below(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
