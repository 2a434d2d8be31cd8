//! Hiding secrets in what is shown.
//!
//! Invariant: nothing of a password, secret or token leaves through this room, also when the
//! text around it is malformed; so it works on text and does not ask a URL parser.

/// What stands for a secret.
pub const HIDDEN: &str = "***";

/// Whether a key names a secret by its ending. By a hash a guess can be tried where nobody counts the tries; and where a list of
/// `keys` belongs, somebody may write one.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "password", "token", "hash", "keys"]
        .iter()
        .any(|end| key.ends_with(end))
}

/// A URL with its password and its secret query parameters hidden. Other text stays as it is.
pub fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (rest, None),
    };
    // A raw `/`, `?` or `@` in a password is an operator's slip that must not show it: the last
    // `@` counts, wherever it stands.
    let (address, query) = match query {
        Some(query) if query.contains('@') => (rest, None),
        _ => (address, query),
    };
    let mut shown = format!("{scheme}://{}", user_hidden(address));
    if let Some(query) = query {
        shown.push('?');
        shown.push_str(&parameters_hidden(query));
    }
    shown
}

fn user_hidden(address: &str) -> String {
    let Some((user, host)) = address.rsplit_once('@') else {
        return address.to_owned();
    };
    match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}@{host}"),
        None => format!("{user}@{host}"),
    }
}

fn parameters_hidden(query: &str) -> String {
    let hide = |parameter: &str| match parameter.split_once('=') {
        // Keys of TLS may stand there in PEM instead of the name of their file.
        Some((key, value)) if is_secret(key) || value.contains("BEGIN") => {
            format!("{key}={HIDDEN}")
        }
        _ => parameter.to_owned(),
    };
    query.split('&').map(hide).collect::<Vec<_>>().join("&")
}

/// Hides every secret in a tree: values of secret keys, and passwords inside URLs.
pub fn tree(value: &mut toml::Value) {
    match value {
        toml::Value::Array(list) => list.iter_mut().for_each(tree),
        toml::Value::Table(table) => {
            for (key, inner) in table.iter_mut() {
                match inner {
                    toml::Value::String(text) if is_secret(key) => HIDDEN.clone_into(text),
                    toml::Value::String(text) if key.ends_with("url") => *text = url(text),
                    other => tree(other),
                }
            }
        }
        _ => {}
    }
}
