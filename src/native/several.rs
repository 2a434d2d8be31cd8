//! Reads of several modules in one request.
//!
//! Invariant: each module has its own share of the page, so a large one starves no other.

use std::time::{Duration, Instant};

use super::{Channels, Page, PageBounds, Reads, Start, Unread};
use crate::{
    log::{Freshness, Woken},
    telemetry::usage::statements,
};

/// One module of the request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The channels.
    pub channels: Channels,
    /// From where.
    pub start: Start,
}

/// The answer.
#[derive(Debug, Default)]
pub struct Several {
    /// For each module asked for, in that order.
    pub modules: Vec<Result<Page, Unread>>,
    /// How many SQL statements each of them took.
    pub statements: Vec<u64>,
    /// Whether there was no place to wait, so that this came at once.
    pub crowded: bool,
}

impl Several {
    /// Whether there is something to tell at once: changes, or that a cursor is too old.
    fn is_news(&self) -> bool {
        self.modules.iter().any(|module| match module {
            Ok(page) => !page.changes.is_empty(),
            Err(unread) => matches!(unread, Unread::Gone),
        })
    }

    fn can_bring_news(&self) -> bool {
        self.modules.iter().any(Result::is_ok)
    }
}

impl Reads {
    /// Reads several modules. With a `wait` it is answered from memory, once the first has news or the
    /// time is up; without, as new as the database has it.
    pub async fn several(&self, asked: &[Asked], wait: Option<Duration>) -> Several {
        let bounds = self.page_bounds().share(asked.len());
        let Some(wait) = wait else {
            return self.each(asked, bounds, Freshness::Head).await;
        };
        let channels: Vec<_> = asked
            .iter()
            .map(|one| (one.channels.module(), one.channels.audiences()))
            .collect();
        let enlisted = self.waiting.enlist(&channels);
        let deadline = Instant::now() + wait;
        let mut several = self.each(asked, bounds, Freshness::Tail).await;
        several.crowded = enlisted.is_err();
        if let Ok(mut waiter) = enlisted {
            let mut waits = several.can_bring_news();
            while waits && !several.is_news() {
                let left = deadline.saturating_duration_since(Instant::now());
                waits = waiter.woken(left).await == Woken::News && !left.is_zero();
                self.look_again(asked, bounds, &mut several).await;
            }
        }
        for page in several.modules.iter_mut().flatten() {
            page.fresh = true;
        }
        several
    }

    async fn each(&self, asked: &[Asked], bounds: PageBounds, freshness: Freshness) -> Several {
        let mut several = Several::default();
        for Asked { channels, start } in asked {
            let read = self.from(channels, *start, bounds, freshness);
            let (page, statements) = statements::of(read).await;
            several.modules.push(page);
            several.statements.push(statements);
        }
        several
    }

    /// Modules that could not be read stay as they are: they are told of with the others.
    async fn look_again(&self, asked: &[Asked], bounds: PageBounds, several: &mut Several) {
        let modules = several.modules.iter_mut().zip(&mut several.statements);
        for (asked, (module, counted)) in asked.iter().zip(modules) {
            if let Ok(page) = module {
                let (channels, cursor) = (&asked.channels, page.cursor);
                let read = self.page(channels, cursor, bounds, Freshness::Tail);
                let (page, statements) = statements::of(read).await;
                *module = page;
                *counted += statements;
            }
        }
    }
}
