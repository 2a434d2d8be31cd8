//! Saying something, but not each time.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use crate::domain::Micros;

/// Lets one message a minute through.
#[derive(Default)]
pub(super) struct Seldom(AtomicI64);

impl Seldom {
    /// Whether it is time to say it again.
    pub(super) fn is_due(&self, now: Micros) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let due = last == 0 || now.since(Micros::new(last)) >= Duration::from_mins(1);
        let (was, is) = (last, now.get());
        due && self
            .0
            .compare_exchange(was, is, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}
