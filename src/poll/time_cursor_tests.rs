use std::time::SystemTime;

use proptest::prelude::*;

use super::*;

fn micros(text: &str) -> Option<i64> {
    rfc3339(text).map(Micros::get)
}

#[test]
fn the_spellings_of_one_time() {
    let at = 1_767_323_045_678_901;
    for text in [
        "2026-01-02T03:04:05.678901Z",
        "2026-01-02t03:04:05.678901z",
        "2026-01-02 03:04:05.678901999Z",
        "2026-01-02T04:04:05.678901+01:00",
        "2026-01-02T04:04:05.678901 01:00",
        "2026-01-01T21:34:05.678901-05:30",
    ] {
        assert_eq!(micros(text), Some(at), "{text}");
    }
    assert_eq!(micros("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(micros("2016-12-31T23:59:60Z"), Some(1_483_228_799_000_000));
    assert_eq!(
        micros("2024-02-29T00:00:00.5-00:00"),
        Some(1_709_164_800_500_000)
    );
    assert_eq!(
        parse("2026-01-02T03:04:05.678901Z", CursorKind::Rfc3339),
        Ok(Micros::new(1_767_323_045_678_000))
    );
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-13-02T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "2026-00-10T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05+1:00",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05Zx",
        "+026-01-02T03:04:05Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:30:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-01-0é03:04:05Z",
        "0000-01-01T00:00:00Z",
    ] {
        assert_eq!(micros(text), None, "{text}");
    }
    for text in [
        "",
        "-1",
        "+1",
        "1.5",
        "1e3",
        " 1",
        "253402300800",
        "99999999999999999999",
    ] {
        assert!(parse(text, CursorKind::TimestampS).is_err(), "{text}");
    }
    assert!(parse("253402300800000", CursorKind::TimestampMs).is_err());
    assert!(
        parse("1767323045678", CursorKind::TimestampS).is_err(),
        "milliseconds where seconds are meant"
    );
}

proptest! {
    #[test]
    fn what_is_written_reads_back(millis in 0_i64..END_SECONDS * 1_000) {
        let at = Micros::new(millis * 1_000);
        let text = rfc3339_text(at);
        prop_assert_eq!(text.len(), 24);
        prop_assert_eq!(parse(&text, CursorKind::Rfc3339), Ok(at));
    }

    #[test]
    fn it_agrees_with_another_parser(micros in 0_i64..END_SECONDS * MICROS) {
        let text = humantime::format_rfc3339_nanos(Micros::new(micros).into()).to_string();
        let theirs: SystemTime = humantime::parse_rfc3339(&text).unwrap();
        prop_assert_eq!(rfc3339(&text), Some(theirs.into()));
    }

    #[test]
    fn no_text_breaks_it(text in ".{0,40}", digits in "[0-9T:. +zZ-]{0,35}") {
        let _ = rfc3339(&text);
        let _ = rfc3339(&digits);
    }
}
