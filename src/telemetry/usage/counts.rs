//! Numbers of what was counted, of one module and transport.

use std::time::Duration;

use crate::domain::{Micros, Transport};

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Polls; on push the reads of clients that follow the log over HTTP.
    pub requests: u64,
    /// Those that were told that there is nothing new.
    pub idle: u64,
    /// Those that were answered without SQL of their own.
    pub memory: u64,
    /// Those that got an error.
    pub refused: u64,
    /// SQL statements that were run for them.
    pub statements: u64,
    /// Bytes of the answers' bodies, before compression.
    pub bytes: u64,
    /// Changes handed to a broker, repeats included.
    pub messages: u64,
    /// Bytes of their payloads.
    pub payloads: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            idle: self.idle.saturating_add(other.idle),
            memory: self.memory.saturating_add(other.memory),
            refused: self.refused.saturating_add(other.refused),
            statements: self.statements.saturating_add(other.statements),
            bytes: self.bytes.saturating_add(other.bytes),
            messages: self.messages.saturating_add(other.messages),
            payloads: self.payloads.saturating_add(other.payloads),
        }
    }

    /// What came after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            idle: self.idle.saturating_sub(earlier.idle),
            memory: self.memory.saturating_sub(earlier.memory),
            refused: self.refused.saturating_sub(earlier.refused),
            statements: self.statements.saturating_sub(earlier.statements),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            messages: self.messages.saturating_sub(earlier.messages),
            payloads: self.payloads.saturating_sub(earlier.payloads),
        }
    }

    /// Whether nothing was counted.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// The hours of one module and transport, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSum {
    /// The module, or [`super::NO_MODULE`].
    pub module: String,
    /// Which way.
    pub transport: Transport,
    /// For how long somebody counted.
    pub counted: Duration,
    /// From when.
    pub from: Micros,
    /// To when.
    pub to: Micros,
    /// What.
    pub counts: Counts,
    /// Requests of the hour that had most.
    pub busiest_requests: u64,
    /// The end of the last count that held a request; `None` if none did.
    pub last_asked: Option<Micros>,
}
