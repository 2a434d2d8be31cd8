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

/// A URL with its password and the values of its parameters hidden, but of those that are known to be harmless. Other text stays as it is.
pub fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    // A raw `/`, `?` or `@` in a password is an operator's slip that must not show it: the last `@` counts, wherever it
    // stands, and parameters are what stands behind it.
    let host = rest.rfind('@').map_or(0, |at| at + 1);
    let end = rest[host..].find('?').map(|at| host + at);
    let (address, query) = end.map_or((rest, None), |end| (&rest[..end], Some(&rest[end + 1..])));
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
        // The `@` stood in a parameter.
        _ if user
            .split(':')
            .next()
            .is_some_and(|name| name.contains('?')) =>
        {
            format!("{HIDDEN}@{host}")
        }
        Some((name, _)) => format!("{name}:{HIDDEN}@{host}"),
        None => format!("{user}@{host}"),
    }
}

/// Parameters whose values are shown: what `sqlx` reads of a URL for PostgreSQL, MySQL and SQLite, but the password, and `options`, in which
/// settings of any kind stand. Of all others nobody here knows what they are: the name of a secret may be any word.
const HARMLESS: [&str; 27] = [
    "application_name",
    "cache",
    "charset",
    "collation",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "immutable",
    "mode",
    "port",
    "socket",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslca",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "time-zone",
    "timezone",
    "user",
    "vfs",
];

fn parameters_hidden(query: &str) -> String {
    let hide = |parameter: &str| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // Keys of TLS may stand there in PEM instead of the name of their file, and what follows these is no value.
        let is_plain = !value.contains("BEGIN") && !value.contains(['#', '?', ';', '=']);
        match parameter.len() == key.len() {
            _ if HARMLESS.contains(&key) && is_plain => parameter.to_owned(),
            false => format!("{key}={HIDDEN}"),
            // A secret may stand there without a name.
            true if key.is_empty() => String::new(),
            true => HIDDEN.to_owned(),
        }
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
