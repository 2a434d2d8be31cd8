//! The time that brown-outs go by.
//!
//! Invariant: no clock that is wrong opens one. Time is what three clocks agree on: the machine's, which people and programs may set; one
//! that was set by it once, at the start, and only counts on; and the database's, which all replicas hear.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::domain::{Brownouts, Clock, Micros};

/// What the database's clock says at a moment; none = it is not known.
type DatabaseTime = dyn Fn(Instant) -> Option<Micros> + Send + Sync;

/// The clocks.
pub struct SteadyTime {
    machine: Arc<dyn Clock>,
    started: (Micros, Instant),
    /// Absent = there is no database.
    database: Option<Box<DatabaseTime>>,
    warned: AtomicBool,
}

/// Clocks that are less apart than this are of one opinion: at the edges of a brown-out one of them is there first.
const APART: Duration = Duration::from_secs(5);

impl SteadyTime {
    /// Time from now on, which is `now` on the clock that only counts.
    pub fn from(machine: Arc<dyn Clock>, now: Instant) -> Self {
        Self {
            started: (machine.now(), now),
            machine,
            database: None,
            warned: AtomicBool::new(false),
        }
    }

    /// The same with the database's clock, which says nothing as long as it is not known.
    #[must_use]
    pub fn and_database(
        self,
        time: impl Fn(Instant) -> Option<Micros> + Send + Sync + 'static,
    ) -> Self {
        Self {
            database: Some(Box::new(time)),
            ..self
        }
    }

    /// How long yet polls are refused; `None` if one of the clocks says that they are not now.
    pub fn left(&self, brownouts: &Brownouts, now: Instant) -> Option<Duration> {
        let machine = self.machine.now();
        let mut left = brownouts.left(machine)?;
        let (time, instant) = self.started;
        let counted = time.plus(now.saturating_duration_since(instant));
        let heard = self.database.iter().map(|time| time(now));
        for time in std::iter::once(Some(counted)).chain(heard) {
            let by_it = time.and_then(|time| brownouts.left(time));
            let Some(by_it) = by_it else {
                self.disagree(machine, time);
                return None;
            };
            left = left.max(by_it);
        }
        Some(left)
    }

    fn disagree(&self, machine: Micros, other: Option<Micros>) {
        let apart = |other| machine.since(other).max(other.since(machine));
        let are_apart = other.is_some_and(|other| apart(other) > APART);
        if are_apart && !self.warned.swap(true, Relaxed) {
            tracing::warn!(
                "the machine's clock says that it is time for a brown-out, and another one does not: the database's, or the time that has passed since \
                 this replica started; polls are answered as long as they do not agree; set the clock that is wrong, and start the replica anew if it is the machine's"
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

    #[test]
    fn a_clock_that_is_wrong_from_the_start_opens_none() {
        let machine = Arc::new(Set(Mutex::new(at("2027-03-02T10:05:00Z"))));
        let database = Arc::new(Mutex::new(None));
        let begun = Instant::now();
        let told = Arc::clone(&database);
        let time = SteadyTime::from(machine as _, begun).and_database(move |now| {
            told.lock()
                .unwrap()
                .map(|time: Micros| time.plus(now - begun))
        });
        let brownouts = Brownouts::try_from(vec!["tue 10:00-10:15".to_owned()]).unwrap();
        let left = |minutes| time.left(&brownouts, begun + Duration::from_mins(minutes));
        assert_eq!(left(0), None, "nobody knows");
        let says = |text| *database.lock().unwrap() = Some(at(text));
        says("2027-03-02T09:05:00Z");
        assert_eq!(left(0), None, "it is an hour early");
        assert!(time.warned.load(Relaxed));
        says("2027-03-09T10:00:00Z");
        assert_eq!(left(0), Some(Duration::from_mins(15)), "it is one");
        assert_eq!(left(15), None);
    }

    #[test]
    fn who_is_first_at_the_edge_is_not_wrong() {
        let machine = Arc::new(Set(Mutex::new(at("2027-03-02T10:00:02Z"))));
        let time = SteadyTime::from(machine as _, Instant::now())
            .and_database(|_| Some(at("2027-03-02T09:59:59Z")));
        let brownouts = Brownouts::try_from(vec!["tue 10:00-10:15".to_owned()]).unwrap();
        assert_eq!(time.left(&brownouts, Instant::now()), None);
        assert!(!time.warned.load(Relaxed));
    }
}
