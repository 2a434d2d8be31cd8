//! Which endpoint answers which request.
//!
//! Invariant: no two endpoints answer the same one.

use std::collections::BTreeMap;

use super::{Problems, modules::Poll, poll_path};

/// The requests of all endpoints so far, by method and path, each with the key of its endpoint.
#[derive(Debug, Default)]
pub(super) struct Routes(BTreeMap<(&'static str, String), String>);

impl Routes {
    /// Adds the requests of one endpoint, whose keys stand below `path`.
    pub(super) fn add(&mut self, poll: &Poll, path: &str, problems: &mut Problems) {
        let Ok(segments) = poll_path::parse(&poll.path) else {
            return;
        };
        for method in &poll.methods {
            let route = (method.as_str(), poll_path::shape(&segments));
            match self.0.get(&route) {
                Some(first) if first != path => problems.push(
                    format!("{path}.path"),
                    format!("{} {} is already answered by {first}", route.0, poll.path),
                ),
                Some(_) => problems.push(
                    format!("{path}.methods"),
                    format!("{} is named twice", route.0),
                ),
                None => {
                    self.0.insert(route, path.to_owned());
                }
            }
        }
    }
}
