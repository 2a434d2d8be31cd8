use proptest::prelude::*;

use super::*;
use crate::domain::{Epoch, Position};

fn held(tag: &EntityTag, lines: &[&str]) -> bool {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(IF_NONE_MATCH, HeaderValue::try_from(*line).unwrap());
    }
    tag.is_held(&headers)
}

#[test]
fn a_tag_is_found_in_every_spelling() {
    let tag = EntityTag::of_body(b"body");
    let quoted = tag.0.clone();
    let bare = quoted.trim_matches('"');
    assert_eq!(
        bare,
        "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"
    );
    for line in [
        quoted.clone(),
        format!("W/{quoted}"),
        bare.to_owned(),
        format!("\"x\" , {quoted},\"y\""),
        "*".to_owned(),
        format!("\"{bare}-gzip\""),
    ] {
        assert!(held(&tag, &[&line]), "{line}");
    }
    assert!(held(&tag, &["\"x\"", &quoted]), "in a second line");
    for line in ["", "\"\"", "\"x\"", &bare[1..], &format!("\"{bare}\"x")] {
        assert!(!held(&tag, &[line]), "{line}");
    }
    assert!(!held(&tag, &[]));
}

#[test]
fn the_oldest_cursor_of_a_list_counts_and_foreign_tags_do_not() {
    let cursor = |epoch, position| Cursor::new(Epoch::new(epoch), Position::new(position));
    for (line, expected) in [
        ("\"00000001_0000000000000005\"", Some(cursor(1, 5))),
        ("W/\"00000001_0000000000000005\"", Some(cursor(1, 5))),
        ("00000001_0000000000000005", Some(cursor(1, 5))),
        (
            "\"00000002_0000000000000001\", \"00000001_0000000000000009\", \"x\"",
            Some(cursor(1, 9)),
        ),
        ("\"5d8c72a5edda8d6a\"", None),
        ("*", None),
        ("", None),
    ] {
        assert_eq!(oldest_cursor(line), expected, "{line}");
    }
}

proptest! {
    #[test]
    fn bodies_share_a_tag_only_if_they_are_equal(
        one in prop::collection::vec(any::<u8>(), 0..40),
        other in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (a, b) = (EntityTag::of_body(&one), EntityTag::of_body(&other));
        prop_assert_eq!(a == b, one == other);
    }

    #[test]
    fn any_line_is_read(line in ".{0,40}") {
        let _either = oldest_cursor(&line);
    }
}
