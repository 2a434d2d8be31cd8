//! One change as a `CloudEvent` in structured JSON, the same bytes on MQTT and on the HTTP stream.
//!
//! Invariant: the value is copied byte for byte, never parsed. Numbers that `CloudEvents` cannot
//! hold (its integers have 32 bits, signed) are strings: `sequence` and `previous` padded to
//! 20 digits so that they sort as text, `epoch` plain.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

use crate::domain::{Change, Micros, ModuleName, Op};

/// The content type of an encoded event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Bytes of an event besides its texts, rounded up: one reservation holds a whole event.
const FRAME_BYTES: usize = 448;

macro_rules! push {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("writing to memory does not fail")
    };
}

/// Appends the event to `out`.
pub fn encode(module: &ModuleName, change: &Change, out: &mut BytesMut) {
    push_attributes(module, change, HAS_DATA, change.value.as_str().len(), out);
    out.put_slice(br#","data":"#);
    out.put_slice(change.value.as_str().as_bytes());
    out.put_u8(b'}');
}

/// Appends the event without its value, and with the address at which that is found: the `dataref` of
/// `CloudEvents`.
pub fn encode_pointer(module: &ModuleName, change: &Change, dataref: &str, out: &mut BytesMut) {
    push_attributes(module, change, "", dataref.len(), out);
    out.put_slice(br#","dataref":"#);
    push_text(out, dataref);
    out.put_u8(b'}');
}

/// What an event with a value says of it.
const HAS_DATA: &str = r#","datacontenttype":"application/json""#;

/// Appends what every event begins with, `of_data` among it. So many bytes follow.
fn push_attributes(
    module: &ModuleName,
    change: &Change,
    of_data: &str,
    follow: usize,
    out: &mut BytesMut,
) {
    let texts = change.key.len() + change.audience.as_str().len() + follow;
    out.reserve(FRAME_BYTES + 3 * module.as_str().len() + texts);
    let (epoch, position) = (change.epoch, change.position);
    let kind = match change.op {
        Op::Upsert => "changeover.upsert",
        Op::Delete => "changeover.delete",
    };
    push!(
        out,
        r#"{{"specversion":"1.0","id":"{module}/{epoch}/{position}","source":"/changeover/{module}","type":"{kind}","subject":"#
    );
    push_text(out, &change.key);
    out.put_slice(br#","time":""#);
    push_time(out, change.occurred_at);
    push!(
        out,
        r#""{of_data},"sequence":"{:020}","previous":"{:020}","epoch":"{epoch}","audience":"#,
        position.get(),
        change.previous.get()
    );
    push_text(out, change.audience.as_str());
}

fn push_text(out: &mut BytesMut, text: &str) {
    serde_json::to_writer(out.writer(), text).expect("text always has a JSON form");
}

/// A time as RFC 3339 in UTC with microseconds.
pub fn rfc3339(time: Micros) -> String {
    let mut out = BytesMut::with_capacity(32);
    push_time(&mut out, time);
    String::from_utf8_lossy(&out).into_owned()
}

/// The years that RFC 3339 can write, as microseconds: 0000-01-01 to the end of 9999.
const FIRST_MICROS: i64 = -62_167_219_200_000_000;
const LAST_MICROS: i64 = 253_402_300_799_999_999;

fn push_time(out: &mut BytesMut, time: Micros) {
    let micros = time.get().clamp(FIRST_MICROS, LAST_MICROS);
    let (secs, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    push!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"
    );
}

/// The date of a day counted from 1970-01-01 in the proleptic Gregorian calendar, by Howard
/// Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Audience, Epoch, JsonText, Position};

    fn change(key: &str, value: &str) -> Change {
        Change {
            epoch: Epoch::new(u32::MAX),
            position: Position::new(42),
            previous: Position::new(40),
            audience: Audience::stored("U\"1"),
            key: key.into(),
            op: Op::Upsert,
            value: JsonText::stored(value),
            change_id: None,
            occurred_at: Micros::new(1_784_117_045_000_250),
            sequenced_at: Micros::new(0),
        }
    }

    fn encoded(change: &Change) -> String {
        let mut out = BytesMut::new();
        encode(&"commission".parse().unwrap(), change, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_event_is_exactly_as_promised() {
        let expected = concat!(
            r#"{"specversion":"1.0","id":"commission/4294967295/42","source":"/changeover/commission","#,
            r#""type":"changeover.upsert","subject":"k\\ü","time":"2026-07-15T12:04:05.000250Z","#,
            r#""datacontenttype":"application/json","sequence":"00000000000000000042","#,
            r#""previous":"00000000000000000040","epoch":"4294967295","audience":"U\"1","#,
            r#""data":{"a":1.10,"b":1e3,"c":12345678901234567890}}"#
        );
        let value = r#"{"a":1.10,"b":1e3,"c":12345678901234567890}"#;
        assert_eq!(encoded(&change("k\\ü", value)), expected);
    }

    #[test]
    fn a_pointer_is_the_event_with_an_address_for_its_value() {
        let mut out = BytesMut::new();
        let change = change("k", r#"{"a":1}"#);
        encode_pointer(&"commission".parse().unwrap(), &change, "/v1/x?y", &mut out);
        let pointer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let mut whole: serde_json::Value = serde_json::from_str(&encoded(&change)).unwrap();
        let members = whole.as_object_mut().unwrap();
        members.remove("data");
        members.remove("datacontenttype");
        members.insert("dataref".to_owned(), "/v1/x?y".into());
        assert_eq!(pointer, whole);
    }

    #[test]
    fn an_event_is_json_whatever_the_key() {
        let event = encoded(&change("\u{0}\n\"\u{2028}😀", "null"));
        let parsed: serde_json::Value = serde_json::from_str(&event).unwrap();
        assert_eq!(parsed["subject"], "\u{0}\n\"\u{2028}😀");
        assert!(parsed["data"].is_null());
    }

    #[test]
    fn times_agree_with_the_calendar() {
        assert_eq!(rfc3339(Micros::new(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(Micros::new(-1)), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            rfc3339(Micros::new(i64::MAX)),
            "9999-12-31T23:59:59.999999Z"
        );
        assert_eq!(
            rfc3339(Micros::new(i64::MIN)),
            "0000-01-01T00:00:00.000000Z"
        );
        let leap = Micros::new(1_709_164_800_000_000);
        assert_eq!(rfc3339(leap), "2024-02-29T00:00:00.000000Z");
    }

    proptest::proptest! {
        #[test]
        fn times_agree_with_humantime(micros in 0_i64..LAST_MICROS) {
            let time = std::time::SystemTime::from(Micros::new(micros));
            proptest::prop_assert_eq!(rfc3339(Micros::new(micros)), humantime::format_rfc3339_micros(time).to_string());
        }
    }
}
