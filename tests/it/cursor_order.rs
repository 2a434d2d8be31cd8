//! Cursors, their tokens and positions have one order.

use changeover::domain::{Cursor, Epoch, Position};
use proptest::prelude::*;

fn cursors() -> impl Strategy<Value = Cursor> {
    // Small and large numbers, so that equal parts and every digit count come up.
    let epoch = prop_oneof![0_u32..4, any::<u32>()];
    let position = prop_oneof![0_u64..40, 0..=i64::MAX.cast_unsigned()];
    (epoch, position)
        .prop_map(|(epoch, position)| Cursor::new(Epoch::new(epoch), Position::new(position)))
}

proptest! {
    #[test]
    fn tokens_sort_as_cursors_do(a in cursors(), b in cursors()) {
        prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
    }

    #[test]
    fn within_an_epoch_cursors_sort_as_positions_do(a in cursors(), b in cursors()) {
        let b = Cursor::new(a.epoch, b.position);
        prop_assert_eq!(a.cmp(&b), a.position.cmp(&b.position));
    }

    #[test]
    fn a_token_reads_back(cursor in cursors()) {
        prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
    }

    #[test]
    fn a_cursor_has_one_spelling(text in "[0-9a-fA-F+-]{7,9}_[0-9a-fA-F+-]{15,17}") {
        if let Ok(cursor) = text.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string(), text);
        }
    }
}

#[test]
fn what_was_never_given_out_is_refused() {
    for text in [
        "",
        "_",
        "00000001",
        "00000001_000000000000000A",
        "00000001_8000000000000000",
        "00000001_000000000000001",
        "00000001_00000000000000010",
        "0x000001_0000000000000001",
        "00000001_0000000000000001 ",
    ] {
        assert!(text.parse::<Cursor>().is_err(), "{text:?}");
    }
}
