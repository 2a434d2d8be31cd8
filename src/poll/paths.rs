//! Paths that would answer for each other.
//!
//! Invariant: contracts without conflicts can all stand in one router, which would panic otherwise.

use super::contract::Contract;

/// What the public listener keeps for itself, besides everything below these.
const RESERVED: [&str; 5] = [
    "/v1",
    "/ofrep",
    "/healthz",
    "/openapi.json",
    "/asyncapi.json",
];

/// For each contract whose path cannot stand beside the earlier ones: its module, and why.
pub fn conflicts(contracts: &[Contract]) -> Vec<(String, String)> {
    let mut router = matchit::Router::new();
    let mut found = Vec::new();
    for contract in contracts {
        let why = contract.paths().find_map(|path| {
            reserved(&path).or_else(|| match router.insert(&path, ()) {
                Ok(()) => None,
                Err(matchit::InsertError::Conflict { with }) => Some(format!(
                    "`{path}` conflicts with `{with}` of another module"
                )),
                Err(error) => Some(format!("`{path}` is no path: {error}")),
            })
        });
        found.extend(why.map(|why| (contract.module().to_string(), why)));
    }
    found
}

fn reserved(path: &str) -> Option<String> {
    let taken = RESERVED.into_iter().find(|reserved| {
        path.strip_prefix(reserved)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })?;
    Some(format!(
        "`{path}` lies below `{taken}`, which the gateway keeps for itself"
    ))
}

#[cfg(test)]
#[path = "paths_tests.rs"]
mod tests;
