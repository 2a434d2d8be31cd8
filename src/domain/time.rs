//! Time as the log keeps it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(i64);

impl Micros {
    /// A time from its number of microseconds.
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// The number of microseconds.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The time `span` before this one.
    pub fn minus(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(span))
    }

    /// The time `span` after this one.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        let span = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_micros(span.cast_unsigned())
    }
}

impl From<SystemTime> for Micros {
    fn from(time: SystemTime) -> Self {
        let span = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Micros> for SystemTime {
    fn from(time: Micros) -> Self {
        UNIX_EPOCH + Duration::from_micros(time.0.max(0).cast_unsigned())
    }
}

/// Where the current time comes from, so that tests can say what time it is. It serves what is
/// shown to people and clients; leases and log times are judged by the database's clock.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Micros;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        SystemTime::now().into()
    }
}
