//! The counters of one module.
//!
//! Invariant: counting is two additions to a line of memory of the module's own, in any order and without waiting.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Counts;

/// How often something happened, and how many bytes it was.
#[derive(Debug, Default)]
pub struct Tally {
    count: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// Counts one of so many bytes.
    pub fn add(&self, bytes: usize) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.add_bytes(bytes);
    }

    /// Counts bytes that come later than what they belong to.
    pub fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The requests of one module over one transport, in one line of memory.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Requests {
    /// Told that there is nothing new.
    pub idle: Tally,
    /// Told something.
    pub news: Tally,
    /// Told an error.
    pub refused: Tally,
    from_database: AtomicU64,
    statements: AtomicU64,
}

impl Requests {
    /// One of them needed SQL of its own.
    pub fn add_from_database(&self) {
        self.from_database.fetch_add(1, Ordering::Relaxed);
    }

    /// SQL statements were run for them.
    pub fn add_statements(&self, statements: u64) {
        self.statements.fetch_add(statements, Ordering::Relaxed);
    }

    /// The numbers. They are not of one moment: what is counted meanwhile may be in some of them.
    pub fn counts(&self) -> Counts {
        let from_database = self.from_database.load(Ordering::Relaxed);
        let (idle, news) = (self.idle.count(), self.news.count());
        let refused = self.refused.count();
        Counts {
            requests: idle + news + refused,
            idle,
            memory: (idle + news).saturating_sub(from_database),
            refused,
            statements: self.statements.load(Ordering::Relaxed),
            bytes: self.idle.bytes() + self.news.bytes() + self.refused.bytes(),
            ..Counts::default()
        }
    }
}

/// What clients on push cost.
#[derive(Debug, Default)]
pub struct Pushed {
    /// Their reads over HTTP.
    pub reads: Requests,
    /// Changes handed to brokers.
    pub messages: Tally,
}

impl Pushed {
    /// The numbers.
    pub fn counts(&self) -> Counts {
        Counts {
            messages: self.messages.count(),
            payloads: self.messages.bytes(),
            ..self.reads.counts()
        }
    }
}

/// The counters of one module.
#[derive(Debug, Default)]
pub struct Meter {
    /// Legacy polls.
    pub polls: Requests,
    /// What clients on push cost.
    pub push: Pushed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_from_the_database_was_answered_from_memory() {
        let meter = Meter::default();
        meter.polls.idle.add(10);
        meter.polls.idle.add(10);
        meter.polls.news.add(100);
        meter.polls.news.add(50);
        meter.polls.add_from_database();
        meter.polls.add_statements(3);
        meter.polls.refused.add(5);
        let expected = Counts {
            requests: 5,
            idle: 2,
            memory: 3,
            refused: 1,
            statements: 3,
            bytes: 175,
            ..Counts::default()
        };
        assert_eq!(meter.polls.counts(), expected);
        assert!(meter.push.counts().is_zero());
        meter.push.messages.add(7);
        assert_eq!(meter.push.counts().messages, 1);
        assert_eq!(meter.push.counts().payloads, 7);
    }

    #[test]
    fn an_idle_poll_touches_one_line_of_memory() {
        assert_eq!(size_of::<Requests>(), 64);
    }
}
