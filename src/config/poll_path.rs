//! The path of a legacy endpoint, taken apart.

use std::collections::BTreeSet;

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Must be equal, as it stands in the request line.
    Literal(String),
    /// `{name}`: any one segment that is not empty.
    Capture(String),
}

/// The longest path, in bytes.
const PATH_BYTES: usize = 512;

/// First segments of the public listener that are not for modules.
const RESERVED: [&str; 6] = [
    "v1",
    "ofrep",
    "healthz",
    "readyz",
    "openapi.json",
    "asyncapi.json",
];

/// Takes a path apart. The error says what is wrong with it.
pub fn parse(path: &str) -> Result<Vec<Segment>, String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("must begin with `/`".to_owned());
    };
    if path.len() > PATH_BYTES {
        return Err(format!("must have at most {PATH_BYTES} bytes"));
    }
    let segments = rest
        .split('/')
        .map(segment)
        .collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    if let Some(twice) = segments
        .iter()
        .filter_map(capture)
        .find(|name| !names.insert(*name))
    {
        return Err(format!("captures `{twice}` twice"));
    }
    match segments.first() {
        Some(Segment::Literal(first)) if RESERVED.contains(&first.as_str()) => {
            Err(format!("/{first} belongs to changeover itself"))
        }
        _ => Ok(segments),
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(plain) {
            return Err(format!(
                "`{{{}}}` captures nothing: a name is letters, digits and `_`, and begins with no digit",
                name.escape_debug()
            ));
        }
        return Ok(Segment::Capture(name.to_owned()));
    }
    if text.contains(['{', '}']) {
        return Err("a capture such as `{name}` must be a whole segment".to_owned());
    }
    let visible = |b: u8| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b);
    if !text.bytes().all(visible) {
        return Err(
            "must hold visible ASCII without `?`, `#`, `\\`, `\"`, `<` and `>`; percent-encode others"
                .to_owned(),
        );
    }
    Ok(Segment::Literal(text.to_owned()))
}

/// The name that a segment captures.
pub fn capture(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Capture(name) => Some(name),
        Segment::Literal(_) => None,
    }
}

/// What two paths that match the same requests have in common.
pub(super) fn shape(segments: &[Segment]) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Capture(_) => "/{}".to_owned(),
    };
    segments.iter().map(part).collect()
}
