//! `ETag` and `If-None-Match` (RFC 9110, section 13.1.2).

use axum::http::{HeaderMap, header};

use crate::native::Page;

/// The entity tag of a page: what lies between two cursors does not change, except that a
/// compaction takes changes away, or that the end of the log is or is not told with it.
pub(super) fn of(page: &Page) -> String {
    let end = if page.is_up_to_date() { ":end" } else { "" };
    let count = page.changes.len();
    format!("\"{}:{}:{count}{end}\"", page.after, page.cursor)
}

/// Whether the client has this very page. Compared weakly; lists, `*` and tags without quotes are
/// understood.
pub(in crate::http) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let own = opaque(tag);
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(opaque)
        .any(|sent| sent == "*" || sent == own)
}

/// Whether two tags are the same, compared weakly; quotes do not matter.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    opaque(one) == opaque(other)
}

fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let sent = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            HeaderMap::from_iter([(header::IF_NONE_MATCH, value)])
        };
        for same in [
            "\"a\"",
            "W/\"a\"",
            "a",
            "*",
            "\"x\", W/\"a\"",
            "\"x\",\"a\"",
        ] {
            assert!(matches(&sent(same), "\"a\""), "{same}");
        }
        for other in ["\"b\"", "", "\"\"", "\"aa\"", "\"a:end\""] {
            assert!(!matches(&sent(other), "\"a\""), "{other}");
        }
        assert!(!matches(&HeaderMap::new(), "\"a\""));
    }
}
