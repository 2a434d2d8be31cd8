//! Query parameters as old clients write them.
//!
//! Invariant: only parameters that the contract reads are touched; the others stay byte for byte.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::poll::source::decode;

/// Gives parameters the contract's spelling, unless that stands there too; `None` if nothing
/// changes.
pub(super) fn rename(query: &str, names: &[Box<str>]) -> Option<String> {
    let keys: Vec<_> = query.split('&').map(key_of).collect();
    let known = |key: &str| {
        let name = names.iter().find(|name| name.eq_ignore_ascii_case(key))?;
        let is_other = names.iter().any(|name| **name == *key);
        let stands = keys.iter().flatten().any(|key| **key == **name);
        (!is_other && !stands).then_some(name)
    };
    let mut changed = false;
    let pairs = query.split('&').zip(&keys).map(|(pair, key)| {
        let Some(name) = key.as_ref().and_then(|key| known(key)) else {
            return pair.to_owned();
        };
        changed = true;
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        match pair.split_once('=') {
            Some((_, value)) => format!("{name}={value}"),
            None => name.to_string(),
        }
    });
    let renamed = pairs.collect::<Vec<_>>().join("&");
    changed.then_some(renamed)
}

/// Leaves out what a later parameter of the same name replaces; `None` if that makes no difference.
pub(super) fn keep_last(query: &str, names: &[Box<str>]) -> Option<String> {
    let pairs: Vec<_> = query.split('&').collect();
    let keys: Vec<_> = pairs.iter().map(|pair| key_of(pair)).collect();
    let mut changed = false;
    let mut kept = Vec::with_capacity(pairs.len());
    for (n, pair) in pairs.iter().enumerate() {
        let read = keys[n]
            .as_ref()
            .filter(|key| names.iter().any(|name| **name == ***key));
        let last = read.and_then(|_| keys.iter().rposition(|key| *key == keys[n]));
        match last {
            Some(last) if last != n => changed |= pairs[last] != *pair,
            _ => kept.push(*pair),
        }
    }
    changed.then(|| kept.join("&"))
}

/// The decoded name of a parameter; `None` if it is no text.
fn key_of(pair: &str) -> Option<String> {
    let key = pair.split_once('=').map_or(pair, |(key, _)| key);
    decode(key.as_bytes())
        .ok()
        .map(std::borrow::Cow::into_owned)
}
