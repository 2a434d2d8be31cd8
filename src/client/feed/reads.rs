//! The reads of a module: what is asked, and what becomes of the answers.

use std::{cmp::Ordering, time::Duration};

use super::Feed;
use crate::{
    client::{
        Action, By, Change, Page, Reading, ReadingAct, ReadingEvent, StatePage, WayEvent,
        context::Context,
    },
    domain::{Cursor, Transport},
};

impl Feed {
    /// Takes a step of the reads.
    pub(in crate::client) fn read(
        &mut self,
        event: ReadingEvent,
        retry_after: Option<Duration>,
        cx: &mut Context,
    ) {
        let (reading, acts) = self.reading.on(event);
        self.reading = reading;
        for act in acts {
            match act {
                ReadingAct::Ask => {
                    self.soon = None;
                    cx.actions.push(Action::Read {
                        module: self.name.clone(),
                        after: self.progress.cursor(),
                    });
                }
                ReadingAct::AskState => {
                    self.state_page = None;
                    self.ask_state(cx);
                }
                ReadingAct::AskStatePage => self.ask_state(cx),
                ReadingAct::Torn => {
                    self.step(WayEvent::Gap, cx);
                }
                ReadingAct::UpToDate => {
                    self.step(WayEvent::UpToDate, cx);
                }
                ReadingAct::BackOff => {
                    self.due = cx.after_pause(&mut self.failures, retry_after);
                    self.not_before = self.due;
                }
            }
        }
    }

    fn ask_state(&self, cx: &mut Context) {
        cx.actions.push(Action::TakeState {
            module: self.name.clone(),
            page: self.state_page.clone(),
        });
    }

    /// A page of the log. Returns whether it says that the session may be another now.
    pub(in crate::client) fn on_page(&mut self, page: Page, cx: &mut Context) -> bool {
        if !matches!(self.reading, Reading::Reading | Reading::ReadingAgain) {
            return false;
        }
        let flips = self.sees(page.transport);
        let event = self.take(page, cx);
        if event != ReadingEvent::Failed {
            self.works(cx);
        }
        self.read(event, None, cx);
        flips
    }

    fn sees(&mut self, transport: Option<Transport>) -> bool {
        if transport.is_none() || self.seen == transport {
            return false;
        }
        self.seen = transport;
        self.seen != Some(self.told)
    }

    /// The same trouble begins with the shortest pause again; not while a change still waits for what is before it.
    fn works(&mut self, cx: &Context) {
        if self.blocked.is_none() {
            self.failures.reset();
        }
        self.not_before = cx.now;
    }

    fn take(&mut self, page: Page, cx: &mut Context) -> ReadingEvent {
        if let Some(next) = page.next_poll {
            self.poll_every = next.max(cx.settings.first_pause);
        }
        match self.compare(page.cursor) {
            // A replica that does not know of the new epoch yet.
            Some(Ordering::Less) => return ReadingEvent::Failed,
            Some(Ordering::Greater) if page.is_state => {
                self.forget(cx);
                self.progress.has_no_state();
            }
            Some(Ordering::Greater) => return ReadingEvent::Gone,
            Some(Ordering::Equal) | None => {}
        }
        let by = if page.is_state { By::State } else { By::Read };
        for change in page.changes {
            if self.progress.lacks(&change) {
                self.apply(change, by, cx);
            }
        }
        let moved = self.progress.moved(page.cursor);
        match (page.has_more, moved) {
            (false, _) => ReadingEvent::PageWhole,
            (true, true) => ReadingEvent::PageCut,
            // It would say the same again at once.
            (true, false) => ReadingEvent::Failed,
        }
    }

    /// The epoch of a page, compared with ours.
    fn compare(&self, cursor: Cursor) -> Option<Ordering> {
        let ours = self.progress.cursor()?;
        Some(cursor.epoch.cmp(&ours.epoch))
    }

    /// A page of the snapshot.
    pub(in crate::client) fn on_state(&mut self, page: StatePage, cx: &mut Context) {
        if self.reading != Reading::TakingState {
            return;
        }
        if self.state_page.is_none() {
            self.forget(cx);
        }
        for item in page.items {
            cx.actions.push(self.apply_action(item, By::State));
        }
        self.works(cx);
        self.state_page = page.next;
        if self.state_page.is_some() {
            self.read(ReadingEvent::StateCut, None, cx);
        } else {
            self.progress.has_state(page.cursor);
            self.read(ReadingEvent::StateWhole, None, cx);
        }
    }

    /// There is no snapshot: what the log still has is all there is.
    pub(in crate::client) fn on_no_state(&mut self, cx: &mut Context) {
        if self.reading == Reading::TakingState {
            self.forget(cx);
            self.progress.has_no_state();
            self.read(ReadingEvent::NoState, None, cx);
        }
    }

    fn forget(&mut self, cx: &mut Context) {
        self.progress.begin_anew();
        cx.actions.push(Action::Forget {
            module: self.name.clone(),
        });
    }

    pub(super) fn apply(&mut self, change: Change, by: By, cx: &mut Context) {
        self.progress.applied(&change);
        let action = self.apply_action(change, by);
        cx.actions.push(action);
    }

    fn apply_action(&self, change: Change, by: By) -> Action {
        Action::Apply {
            module: self.name.clone(),
            change,
            by,
        }
    }
}
