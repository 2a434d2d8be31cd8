//! What a poll finds: now, or after waiting for news.
//!
//! Invariants: a poll that waits enlists before it looks, so it misses no change; it holds no place
//! while it waits; an answer from memory never stands in line with reads of the database.

use std::time::{Duration, Instant};

use super::{
    asked::Asked, contract::Contract, failure::Failure, page::Page, read::Read, request::Request,
    sources::Sources, whole_state::WholeState,
};
use crate::{
    config::modules::CursorKind,
    log::{Class, Permit, Waiter, Woken},
    telemetry::usage::statements,
};

/// The look of one poll.
pub(super) struct Look<'a> {
    pub(super) sources: &'a Sources,
    pub(super) contract: &'a Contract,
    pub(super) request: &'a Request<'a>,
    /// Whether the client has told that it holds a page already, where no cursor can tell.
    pub(super) holds: Option<&'a (dyn Fn(&Page) -> bool + Sync)>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) page: Page,
    /// How long it waited for news.
    pub(super) waited: Duration,
    /// Held until the answer is written.
    _place: Option<Permit>,
}

impl Look<'_> {
    /// At once, whatever the request allows.
    pub(super) async fn seen_at_once(&self) -> Result<Seen, Failure> {
        self.now(self.request.asked).await
    }

    /// At once, or after news or the time that the request allows.
    pub(super) async fn seen(&self) -> Result<Seen, Failure> {
        let request = self.request;
        if request.wait.is_zero() {
            return self.now(request.asked).await;
        }
        let channels = (&self.contract.module, request.audiences.as_slice());
        match self.sources.waiting.enlist(&[channels]) {
            // Boxed, like all that an idle poll does not come to: a future is moved, and its room held by
            // each connection, at its full size.
            Ok(waiter) => Box::pin(self.after_news(waiter)).await,
            Err(_crowded) => self.now(request.asked).await,
        }
    }

    async fn after_news(&self, mut waiter: Waiter<'_>) -> Result<Seen, Failure> {
        let mut asked = self.request.asked;
        let mut spent = Duration::ZERO;
        // Where nothing says what the client has, any change after it came is news.
        let mut look = self.contract.fields.kind != CursorKind::None || self.holds.is_some();
        let mut last = false;
        loop {
            if look {
                let seen = self.now(asked).await?;
                if last || self.is_news(&seen.page) {
                    return Ok(Seen {
                        waited: spent,
                        ..seen
                    });
                }
                // What was read once in the database is not read again.
                asked = asked.past(seen.page.cursor);
            }
            let since = Instant::now();
            let woken = waiter.woken(self.request.wait.saturating_sub(spent)).await;
            spent += since.elapsed();
            (look, last) = (true, woken != Woken::News);
        }
    }

    fn is_news(&self, page: &Page) -> bool {
        !page.is_idle() && !self.holds.is_some_and(|holds| holds(page))
    }

    async fn now(&self, asked: Asked) -> Result<Seen, Failure> {
        let admission = &self.sources.reader.admission;
        let place = admission.enter(Class::Tail, &self.contract.module).await?;
        if self.contract.fields.kind == CursorKind::None {
            let whole = self.whole_state();
            if let Some(page) = whole.remembered_page() {
                return Ok(Seen::new(page?, Some(place)));
            }
            drop(place);
            let page = Box::pin(self.counted(whole.page())).await;
            return page.map(|page| Seen::new(page, None));
        }
        let read = self.read(asked);
        if let Some(page) = read.page_from_tail()? {
            return Ok(Seen::new(page, Some(place)));
        }
        drop(place);
        let page = Box::pin(self.counted(read.page())).await;
        page.map(|page| Seen::new(page, None))
    }

    /// Counts the statements of a read that memory alone could not answer.
    async fn counted<T>(&self, read: impl Future<Output = T>) -> T {
        let (page, statements) = statements::of(read).await;
        let meter = self.sources.usage.of_module(&self.contract.module);
        meter.polls.add_statements(statements);
        page
    }

    fn read(&self, asked: Asked) -> Read<'_> {
        Read {
            sources: self.sources,
            module: &self.contract.module,
            audiences: &self.request.audiences,
            asked,
            limit: self.request.limit,
            state: self.contract.state,
        }
    }

    fn whole_state(&self) -> WholeState<'_> {
        WholeState {
            sources: self.sources,
            module: &self.contract.module,
            audiences: &self.request.audiences,
            max: self.contract.fields.max_limit,
        }
    }
}

impl Seen {
    const fn new(page: Page, place: Option<Permit>) -> Self {
        Self {
            page,
            waited: Duration::ZERO,
            _place: place,
        }
    }
}
