//! When something ends that is made anew each time somebody asks.
//!
//! Invariants: the end is never after what bounds it, and two thirds of the time until then are left at least; whoever asks again a little later, also with a bound
//! that has moved a little, as that of a `forward` caller does with each verdict, is mostly told the same end.

/// At least so many steps lie between now and the bound: who comes again after half of the time finds its end not yet come.
const STEPS: u64 = 3;

/// The last beat that is not after `bound`. Beats are `step` apart, or half of that and so on where the bound is near, and shifted by `offset`. Where they would have
/// to be closer than `least`, it is the bound itself. All of them are of one unit.
pub(super) fn last_beat(bound: u64, now: u64, (step, least): (u64, u64), offset: u64) -> u64 {
    let left = bound.saturating_sub(now);
    let longest = left / STEPS;
    let mut step = step;
    while step > longest {
        step /= 2;
        if step < least {
            return bound;
        }
    }
    let step = step.max(1);
    let offset = offset % step;
    bound.saturating_sub(offset) / step * step + offset
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_that_moves_with_each_verdict_has_few_ends() {
        let (step, good_for) = (900, 3_600);
        let ends = |every: usize| -> BTreeSet<u64> {
            let asked = (1_000_000..1_000_000 + 14_400).step_by(every);
            asked
                .map(|now| last_beat(now + good_for, now, (step, 1), 77))
                .collect()
        };
        // Sixteen quarters of an hour, and one that was begun.
        for every in [60, 1] {
            assert!(ends(every).len() <= 17, "{:?}", ends(every));
        }
    }

    #[test]
    fn a_bound_that_stands_has_few_ends_until_it_comes() {
        let bound = 1_000_000;
        let ends: BTreeSet<_> = (bound - 3_600..bound)
            .map(|now| last_beat(bound, now, (10_000, 1), 4_321))
            .collect();
        assert!(ends.len() <= 13, "{ends:?}");
        assert!(ends.contains(&bound));
    }

    proptest! {
        #[test]
        fn it_is_before_the_bound_and_far_enough(now in 0..1_u64 << 40, left in 1..1_u64 << 33, step in 1..1_u64 << 30, least in 1..100_000_u64, offset in any::<u32>()) {
            let bound = now + left;
            let end = last_beat(bound, now, (step, least), offset.into());
            prop_assert!(end <= bound && end - now >= left - left / STEPS, "{end}");
        }
    }
}
