//! Cursors that are times.

use crate::{
    config::modules::CursorKind,
    domain::{Micros, Tick, strangers::Pieces},
    poll::time_cursor::{parse, rfc3339_text},
};

const KINDS: [(CursorKind, Tick); 3] = [
    (CursorKind::TimestampS, Tick::SECOND),
    (CursorKind::TimestampMs, Tick::MILLISECOND),
    (CursorKind::Rfc3339, Tick::MILLISECOND),
];

/// The year 10000.
const END: Micros = Micros::new(253_402_300_800_000_000);

/// Reads a time as each kind of cursor.
pub fn time_cursor(input: &[u8]) {
    let text = Pieces::of(input).text();
    for (kind, tick) in KINDS {
        let Ok(at) = parse(text, kind) else {
            continue;
        };
        assert!((Micros::new(0)..END).contains(&at), "{kind:?}: {at:?}");
        assert_eq!(tick.begin(at), at, "{kind:?} begins a tick");
        let written = match kind {
            CursorKind::TimestampS => at.as_secs().to_string(),
            CursorKind::TimestampMs => at.as_millis().to_string(),
            _ => rfc3339_text(at),
        };
        assert_eq!(parse(&written, kind), Ok(at), "{kind:?}: {written}");
    }
}
