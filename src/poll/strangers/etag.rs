//! `If-None-Match`, of any number of lines.

use std::iter;

use http::{HeaderMap, HeaderValue, header::IF_NONE_MATCH};

use crate::{
    domain::{Cursor, Epoch, Position, strangers::Pieces},
    poll::etag::{EntityTag, oldest_cursor},
};

/// More lines find nothing that these do not.
const MOST_LINES: usize = 8;

/// Looks for a cursor and for a tag in lists of tags.
pub fn etag(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let mut headers = HeaderMap::new();
    for line in iter::from_fn(|| pieces.bytes()).take(MOST_LINES) {
        let Ok(value) = HeaderValue::from_bytes(line) else {
            continue;
        };
        if let Ok(text) = std::str::from_utf8(line) {
            says_the_oldest(text);
        }
        headers.append(IF_NONE_MATCH, value);
    }
    let tag = EntityTag::of_cursor(Cursor::new(Epoch::new(7), Position::new(7)));
    let (text, gzip) = (tag.header(), b"-gzip");
    let bare = &text.as_bytes()[1..text.len() - 1];
    let mut lines = headers.get_all(IF_NONE_MATCH).iter();
    let is_named = lines.any(|line| {
        let mut tags = line.as_bytes().split(|byte| *byte == b',');
        tags.any(|tag| tag.windows(bare.len()).any(|part| part == bare) || tag.contains(&b'*'))
    });
    assert!(is_named || !tag.is_held(&headers), "nobody named it");
    for held in [text.as_bytes(), b"*", &[b"\"", bare, gzip, b"\""].concat()] {
        let mut more = headers.clone();
        let line = HeaderValue::from_bytes(held).expect("visible ASCII");
        more.append(IF_NONE_MATCH, line);
        assert!(tag.is_held(&more), "what stands before hides nothing");
    }
}

fn says_the_oldest(line: &str) {
    let Some(oldest) = oldest_cursor(line) else {
        return;
    };
    assert!(line.contains(&oldest.to_string()), "a cursor that was sent");
    let older = Cursor::new(Epoch::new(0), Position::ZERO);
    assert_eq!(oldest_cursor(&format!("{line},W/\"{older}\"")), Some(older));
}
