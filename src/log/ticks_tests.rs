use proptest::prelude::*;

use super::*;

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "items are handed over as they stand"
)]
fn at(millis: &u32) -> Micros {
    Micros::new(i64::from(*millis) * 1_000)
}

#[test]
fn a_cut_falls_between_ticks() {
    let cut = |items: &[u32], limit| {
        let mut items = items.to_vec();
        let next = cut_at_tick(&mut items, limit, Tick::SECOND, at);
        (items, next.map(Micros::as_secs))
    };
    assert_eq!(cut(&[1, 2, 1_001], 3), (vec![1, 2, 1_001], None));
    assert_eq!(cut(&[1, 2, 1_001, 1_002], 3), (vec![1, 2], Some(1)));
    assert_eq!(cut(&[1, 2, 3, 5_001], 2), (vec![1, 2, 3], Some(5)));
    assert_eq!(cut(&[1, 2, 3], 2), (vec![1, 2, 3], None));
}

proptest! {
    #[test]
    fn pages_are_whole_ticks_and_lose_nothing(
        mut times in prop::collection::vec(0_u32..6_000, 0..60),
        limit in 1_usize..20,
    ) {
        times.sort_unstable();
        let mut from = Micros::default();
        let mut read = Vec::new();
        loop {
            let rest = times.iter().copied().filter(|time| at(time) >= from);
            let mut page: Vec<_> = rest.collect();
            let next = cut_at_tick(&mut page, limit, Tick::SECOND, at);
            let ticks = |items: &[u32]| items.iter().map(|t| t / 1_000).collect::<std::collections::BTreeSet<_>>();
            prop_assert!(page.len() <= limit || ticks(&page).len() == 1);
            read.extend(page);
            match next {
                Some(next) => {
                    prop_assert!(next > from || from == Micros::default());
                    prop_assert_eq!(Tick::SECOND.begin(next), next);
                    from = next;
                }
                None => break,
            }
        }
        prop_assert_eq!(read, times);
    }
}
