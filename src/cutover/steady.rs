//! The time that brown-outs go by.
//!
//! Invariant: no clock that jumps opens one. Time is what two clocks agree on: the machine's, which people and programs may set, and one
//! that was set by it once, at the start, and only counts on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::domain::{Brownouts, Clock, Micros};

/// Two clocks.
pub struct SteadyTime {
    machine: Arc<dyn Clock>,
    started: (Micros, Instant),
    warned: AtomicBool,
}

impl SteadyTime {
    /// Time from now on, which is `now` on the clock that only counts.
    pub fn from(machine: Arc<dyn Clock>, now: Instant) -> Self {
        Self {
            started: (machine.now(), now),
            machine,
            warned: AtomicBool::new(false),
        }
    }

    /// How long yet polls are refused; `None` if one of the clocks says that they are not now.
    pub fn left(&self, brownouts: &Brownouts, now: Instant) -> Option<Duration> {
        let by_machine = brownouts.left(self.machine.now())?;
        let (time, instant) = self.started;
        let counted = time.plus(now.saturating_duration_since(instant));
        let Some(by_count) = brownouts.left(counted) else {
            self.warn();
            return None;
        };
        Some(by_machine.max(by_count))
    }

    fn warn(&self) {
        if !self.warned.swap(true, Relaxed) {
            tracing::warn!(
                "the machine's clock says that it is time for a brown-out, but it was set since this replica started, or the machine slept: \
                 polls are answered as long as it does not fit the time that has passed; start the replica anew if the clock is right"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Set(Mutex<Micros>);

    impl Clock for Set {
        fn now(&self) -> Micros {
            *self.0.lock().unwrap()
        }
    }

    fn at(text: &str) -> Micros {
        humantime::parse_rfc3339(text).unwrap().into()
    }

    #[test]
    fn a_clock_that_jumps_opens_none() {
        let machine = Arc::new(Set(Mutex::new(at("2027-03-02T09:00:00Z"))));
        let set = |text| *machine.0.lock().unwrap() = at(text);
        let begun = Instant::now();
        let time = SteadyTime::from(Arc::clone(&machine) as _, begun);
        let brownouts = Brownouts::try_from(vec!["tue 10:00-10:15".to_owned()]).unwrap();
        let minutes = |n| begun + Duration::from_mins(n);
        assert_eq!(time.left(&brownouts, minutes(0)), None);
        // An hour too early.
        set("2027-03-02T10:05:00Z");
        assert_eq!(time.left(&brownouts, minutes(5)), None);
        // And back.
        set("2027-03-02T09:06:00Z");
        assert_eq!(time.left(&brownouts, minutes(6)), None);
        // In time.
        set("2027-03-02T10:05:00Z");
        let left = time.left(&brownouts, minutes(65));
        assert_eq!(left, Some(Duration::from_mins(10)));
        // It jumps out of it, and the brown-out does not last for that: rather too short than too early.
        set("2027-03-02T08:06:00Z");
        assert_eq!(time.left(&brownouts, minutes(66)), None);
    }
}
