//! The sketches of one transport of a module, by slices of time, so that who was not seen for long is no longer counted.
//!
//! Invariant: what is counted reaches back by the whole window, and by one slice more at most.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::sketch::Shared;
#[cfg(test)]
use super::sketch::Union;

/// Slices of a window.
pub(super) const PER_WINDOW: u32 = 4;
/// The one that goes on, and those of a window before it.
const KEPT: usize = PER_WINDOW as usize + 1;

/// A sketch is made when its slice sees a client.
#[derive(Debug, Default)]
pub(super) struct Slices([Slice; KEPT]);

#[derive(Debug, Default)]
struct Slice {
    number: AtomicU32,
    sketch: OnceLock<Shared>,
}

impl Slices {
    /// Adds a client to the slice that goes on.
    pub(super) fn add(&self, slice: u32, key: impl FnOnce() -> u64) {
        let place = &self.0[slice as usize % KEPT];
        place.sketch.get_or_init(Shared::new).add(key());
    }

    /// Begins a slice, in the place of one that is as old as the window.
    pub(super) fn begin(&self, slice: u32) {
        let place = &self.0[slice as usize % KEPT];
        if place.number.swap(slice, Relaxed) != slice
            && let Some(sketch) = place.sketch.get()
        {
            sketch.clear();
        }
    }

    /// The slices that are counted while `current` goes on, with their numbers.
    pub(super) fn counted(&self, current: u32) -> impl Iterator<Item = (u32, &Shared)> {
        self.0.iter().filter_map(move |slice| {
            let number = slice.number.load(Relaxed);
            let is_counted = current
                .checked_sub(number)
                .is_some_and(|age| age <= PER_WINDOW);
            slice
                .sketch
                .get()
                .filter(|_| is_counted)
                .map(|sketch| (number, sketch))
        })
    }

    /// All of them together.
    #[cfg(test)]
    pub(super) fn union(&self, current: u32, into: &mut Union) {
        for (_, sketch) in self.counted(current) {
            into.add(sketch.registers());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_for_a_window() {
        let slices = Slices::default();
        for slice in 100..100 + 4 * PER_WINDOW {
            slices.begin(slice);
            slices.begin(slice);
            slices.add(slice, || super::super::sketch::key(&slice.to_string()));
            let mut union = Union::new();
            slices.union(slice, &mut union);
            let expected = u64::from((slice - 99).min(PER_WINDOW + 1));
            assert_eq!(union.estimate(), expected);
        }
        let mut union = Union::new();
        slices.union(200, &mut union);
        assert_eq!(union.estimate(), 0, "all are old");
    }
}
