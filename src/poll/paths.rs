//! Paths that would answer for each other.
//!
//! Invariant: sites without conflicts can all stand in one router, which would panic otherwise.

use super::site::Site;

/// What the public listener keeps for itself, besides everything below these.
const RESERVED: [&str; 5] = [
    "/v1",
    "/ofrep",
    "/healthz",
    "/openapi.json",
    "/asyncapi.json",
];

/// For each site that cannot stand beside the earlier ones: the key of its path, and why. Sites
/// come with their keys, as `modules[0]`. At one path, each may answer other methods.
pub fn conflicts(sites: &[(String, Site)]) -> Vec<(String, String)> {
    let mut router = matchit::Router::new();
    let mut found = Vec::new();
    for (index, (key, site)) in sites.iter().enumerate() {
        let earlier = &sites[..index];
        let why = reserved(site.path()).or_else(|| {
            if earlier.iter().any(|(_, other)| other.path() == site.path()) {
                answered_already(site, earlier)
            } else {
                unroutable(&mut router, key, site.path())
            }
        });
        found.extend(why.map(|why| (format!("{key}.poll.path"), why)));
    }
    found
}

/// Whether another site at the same path answers one of the methods.
fn answered_already(site: &Site, earlier: &[(String, Site)]) -> Option<String> {
    let mut methods = site.methods().iter();
    methods.find_map(|method| {
        let same = |other: &Site| other.path() == site.path() && other.methods().contains(method);
        let (key, _) = earlier.iter().find(|(_, other)| same(other))?;
        let path = site.path();
        let method = method.as_str();
        Some(format!("{method} {path} is already answered by {key}.poll"))
    })
}

fn unroutable(router: &mut matchit::Router<String>, key: &str, path: &str) -> Option<String> {
    match router.insert(path, key.to_owned()) {
        Ok(()) => None,
        Err(matchit::InsertError::Conflict { with }) => {
            let other = router.at(&with).map(|found| found.value.clone());
            let other = other.unwrap_or_default();
            Some(format!("`{path}` conflicts with `{with}` of {other}.poll"))
        }
        Err(error) => Some(format!("`{path}` is no path: {error}")),
    }
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
