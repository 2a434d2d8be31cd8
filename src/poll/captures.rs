//! The segments of a path that are captured.

/// The names that a path captures.
pub(super) fn captured_names(path: &str) -> Result<Vec<&str>, &'static str> {
    let segments = path.strip_prefix('/').ok_or("must begin with `/`")?;
    let mut names = Vec::new();
    for segment in segments.split('/') {
        if let Some(name) = captured_name(segment)? {
            if names.contains(&name) {
                return Err("must not use one name twice");
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn captured_name(segment: &str) -> Result<Option<&str>, &'static str> {
    let inner = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    let Some(name) = inner else {
        let literal = |b: u8| b.is_ascii_graphic() && !b"{}?#*".contains(&b);
        return if segment.bytes().all(literal) {
            Ok(None)
        } else {
            Err(
                "must hold visible ASCII without `?`, `#` and `*`, and `{name}` for a whole segment only",
            )
        };
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Err("must name each `{…}` with letters, digits and `_`");
    }
    Ok(Some(name))
}
