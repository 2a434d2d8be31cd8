//! Reads that wait for news of their channels.
//!
//! Invariant: who enlists before looking at the tail misses no change that comes after the look.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Tail;
use crate::domain::{Audience, ModuleName};

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There may be something new: look again.
    News,
    /// The time is up.
    TimeUp,
    /// The process is stopping: answer now.
    Stopping,
}

/// There are as many waiters as allowed: answer at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many reads wait as allowed")]
pub struct Crowded;

/// The place where reads wait.
#[derive(Debug)]
pub struct Waiting {
    tail: Arc<Tail>,
    stop: CancellationToken,
}

/// One read that waits. Dropped, it gives its place back.
#[derive(Debug)]
pub struct Waiter<'a> {
    news: watch::Receiver<u64>,
    waiting: &'a Waiting,
}

impl Waiting {
    /// A place to wait at until `stop`.
    pub const fn new(tail: Arc<Tail>, stop: CancellationToken) -> Self {
        Self { tail, stop }
    }

    /// Takes a place, for news of any of these channels. To be called before the tail is looked at.
    pub fn enlist(&self, _channels: &[(&ModuleName, &[Audience])]) -> Result<Waiter<'_>, Crowded> {
        Ok(Waiter {
            news: self.tail.news(),
            waiting: self,
        })
    }
}

impl Waiter<'_> {
    /// Waits, at most `limit`. May be called again after news that turned out to be none.
    pub async fn woken(&mut self, limit: Duration) -> Woken {
        tokio::select! {
            () = self.waiting.stop.cancelled() => Woken::Stopping,
            news = timeout(limit, self.news.changed()) => match news {
                Ok(_) => Woken::News,
                Err(_elapsed) => Woken::TimeUp,
            },
        }
    }
}
