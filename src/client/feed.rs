//! One module: the way that its changes come, its reads, and what it has of the log.

use std::{collections::VecDeque, time::Duration};

use super::{
    Action, Bookmark, By, Change, Page, Reading, ReadingAct, ReadingEvent, Settings, StatePage,
    Told, Way, WayAct, WayEvent,
    chance::Chance,
    links::Place,
    progress::{Progress, Verdict},
};
use crate::domain::{Backoff, Cursor, Epoch, ModuleName, Position, Transport};

/// What everything in a client shares.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) now: Duration,
    pub(super) settings: Settings,
    pub(super) chance: Chance,
    /// What is to be done.
    pub(super) actions: Vec<Action>,
}

impl Context {
    pub(super) fn backoff(settings: &Settings) -> Backoff {
        Backoff::new(settings.first_pause, settings.longest_pause)
    }

    /// After a failure; at least as long as the server asks.
    pub(super) fn after_pause(
        &mut self,
        failures: &mut Backoff,
        asked: Option<Duration>,
    ) -> Duration {
        let pause = failures.pause(self.chance.draw());
        self.now + asked.unwrap_or_default().max(pause)
    }
}

/// One module of a client.
#[derive(Debug)]
pub(super) struct Feed {
    name: ModuleName,
    pub(super) way: Way,
    pub(super) reading: Reading,
    pub(super) progress: Progress,
    /// Where it is pushed from.
    pub(super) place: Option<Place>,
    /// When to subscribe again after a refusal.
    pub(super) subscribe_at: Option<Duration>,
    /// What was pushed and not applied yet.
    kept: VecDeque<Change>,
    /// The first of them, if a read has not brought what is missing before it, and how often.
    blocked: Option<(Position, u32)>,
    /// When the next read begins.
    due: Duration,
    /// An earlier time than that, which only this read is for.
    soon: Option<Duration>,
    /// What the server asked for holds for both.
    not_before: Duration,
    failures: Backoff,
    poll_every: Duration,
    resync: Duration,
    /// The next page of the snapshot; none while the first is awaited.
    state_page: Option<String>,
    generation: Option<u64>,
    version: Option<i64>,
    /// The version that was known when the session was last asked for.
    asked_version: Option<i64>,
    told: Transport,
    /// What the last page that said it has said.
    seen: Option<Transport>,
}

impl Feed {
    pub(super) fn new(name: ModuleName, progress: Progress, settings: &Settings) -> Self {
        let reading = if progress.owes_state() {
            Reading::OwingState
        } else {
            Reading::Resting
        };
        Self {
            name,
            way: Way::Polling,
            reading,
            progress,
            place: None,
            subscribe_at: None,
            kept: VecDeque::new(),
            blocked: None,
            due: Duration::ZERO,
            soon: None,
            not_before: Duration::ZERO,
            failures: Context::backoff(settings),
            poll_every: settings.poll_every,
            resync: settings.poll_every,
            state_page: None,
            generation: None,
            version: None,
            asked_version: None,
            told: Transport::Poll,
            seen: None,
        }
    }

    /// When [`Self::on_time`] has something to do; never while an answer is awaited.
    pub(super) fn wakes_at(&self) -> Duration {
        match self.reading {
            Reading::Resting | Reading::OwingState => {
                let due = self.soon.map_or(self.due, |soon| soon.min(self.due));
                due.max(self.not_before)
            }
            Reading::Reading | Reading::ReadingAgain | Reading::TakingState => Duration::MAX,
        }
    }

    pub(super) fn on_time(&mut self, cx: &mut Context) {
        if self.wakes_at() <= cx.now {
            self.read(ReadingEvent::Due, None, cx);
        }
    }

    /// What the session says besides the place.
    pub(super) fn obey(&mut self, told: &Told, resync: Duration, settings: &Settings) {
        let said = told.next_poll.unwrap_or(settings.poll_every);
        self.poll_every = said.max(settings.first_pause);
        self.resync = resync.max(settings.first_pause);
        self.told = told.transport;
    }

    /// The session is asked for with what is known now.
    pub(super) const fn asks(&mut self) {
        self.asked_version = self.version;
    }

    /// Takes a step of the way. Returns what was to be done: joining and leaving is left to the caller.
    pub(super) fn step(&mut self, event: WayEvent, cx: &mut Context) -> &'static [WayAct] {
        let (way, acts) = self.way.on(event);
        self.way = way;
        for act in acts {
            match act {
                WayAct::Join | WayAct::Leave => {}
                WayAct::Drop => {
                    self.kept.clear();
                    self.blocked = None;
                }
                WayAct::Read => self.read(ReadingEvent::Wanted, None, cx),
                WayAct::ReadSoon => {
                    let delay = cx.settings.read_spread.mul_f64(cx.chance.draw());
                    self.soon = Some(cx.now + delay);
                }
                WayAct::ReadLater => self.due = cx.after_pause(&mut self.failures, None),
                WayAct::Spread => self.due = cx.now + self.poll_every.mul_f64(cx.chance.draw()),
                WayAct::Pace => self.due = cx.now + self.pace(cx),
                WayAct::Apply => self.apply_kept(cx),
            }
        }
        acts
    }

    fn pace(&self, cx: &mut Context) -> Duration {
        match self.way {
            // From half of it on, so that clients do not stay in step.
            Way::Live => self.resync.mul_f64(1.0 - cx.chance.draw() / 2.0),
            Way::Polling | Way::Joining | Way::Away | Way::CatchingUp => self.poll_every,
        }
    }

    /// Takes a step of the reads.
    pub(super) fn read(
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
    pub(super) fn on_page(&mut self, page: Page, cx: &mut Context) -> bool {
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
            Some(std::cmp::Ordering::Less) => return ReadingEvent::Failed,
            Some(std::cmp::Ordering::Greater) if page.is_state => {
                self.forget(cx);
                self.progress.has_no_state();
            }
            Some(std::cmp::Ordering::Greater) => return ReadingEvent::Gone,
            Some(std::cmp::Ordering::Equal) | None => {}
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
    fn compare(&self, cursor: Cursor) -> Option<std::cmp::Ordering> {
        let ours = self.progress.cursor()?;
        Some(cursor.epoch.cmp(&ours.epoch))
    }

    /// A page of the snapshot.
    pub(super) fn on_state(&mut self, page: StatePage, cx: &mut Context) {
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
    pub(super) fn on_no_state(&mut self, cx: &mut Context) {
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

    /// A change was pushed.
    pub(super) fn hear(&mut self, change: Change, cx: &mut Context) {
        if self.way == Way::Polling {
            return;
        }
        if self.kept.len() >= cx.settings.kept_changes {
            let progress = &self.progress;
            self.kept
                .retain(|kept| progress.judge(kept) != Verdict::Had);
        }
        if self.kept.len() >= cx.settings.kept_changes {
            self.step(WayEvent::Overflow, cx);
            return;
        }
        self.kept.push_back(change);
        if self.way == Way::Live {
            self.apply_kept(cx);
        }
    }

    fn apply_kept(&mut self, cx: &mut Context) {
        while let Some(change) = self.kept.pop_front() {
            match self.progress.judge(&change) {
                Verdict::Had => {}
                Verdict::Next => self.apply(change, By::Push, cx),
                Verdict::Missing => {
                    let tries = self.tries(change.position);
                    if tries > cx.settings.gap_tries {
                        // Were it of this log, a read would have brought it.
                        self.blocked = None;
                        continue;
                    }
                    self.blocked = Some((change.position, tries));
                    self.kept.push_front(change);
                    let event = if tries == 0 {
                        WayEvent::Gap
                    } else {
                        WayEvent::GapAgain
                    };
                    self.step(event, cx);
                    return;
                }
            }
        }
        self.blocked = None;
    }

    /// How many reads this change has asked for already.
    fn tries(&self, position: Position) -> u32 {
        match self.blocked {
            Some((blocked, tries)) if blocked == position => tries + 1,
            _ => 0,
        }
    }

    /// The retained message of the module. Returns whether it says that the session may be another now.
    pub(super) fn on_bookmark(&mut self, bookmark: &Bookmark, cx: &mut Context) -> bool {
        let before = self.generation.replace(bookmark.generation);
        let is_other = before.is_some_and(|before| before != bookmark.generation);
        if is_other || self.epoch() < Some(bookmark.epoch) {
            self.step(WayEvent::NewGeneration, cx);
        }
        self.version = Some(bookmark.version);
        self.version != self.asked_version
    }

    fn epoch(&self) -> Option<Epoch> {
        self.progress.cursor().map(|cursor| cursor.epoch)
    }

    /// It leaves the broker that it came from.
    pub(super) fn leaves(&mut self) -> Option<Place> {
        self.generation = None;
        self.subscribe_at = None;
        self.place.take()
    }

    fn apply(&mut self, change: Change, by: By, cx: &mut Context) {
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
