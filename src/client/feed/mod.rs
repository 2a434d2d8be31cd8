//! One module: the way that its changes come, its reads, and what it has of the log.

mod pushed;
mod reads;

use std::{collections::VecDeque, time::Duration};

use super::{
    Change, Progress, Reading, ReadingEvent, Settings, Told, Way, WayAct, WayEvent,
    context::Context, links::Place,
};
use crate::domain::{Backoff, ModuleName, Position, Transport};

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
    /// When a read came to the end last.
    reached: Option<Duration>,
    /// An earlier time than that, which only this read is for.
    soon: Option<Duration>,
    /// What the server asked for holds for both.
    not_before: Duration,
    failures: Backoff,
    poll_every: Duration,
    /// The gateway has given this client a time of its own: all of `poll_every` is to be waited for.
    is_placed: bool,
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

/// The reason for which a gateway sends clients back to polling all at once. It spreads their polls itself, by the interval that it tells
/// each of them. A guard tells each of them at a time of its own, and what has come too late for that is spread by the client.
const PLACED: &str = "panic";

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
            reached: None,
            soon: None,
            not_before: Duration::ZERO,
            failures: Context::backoff(settings),
            poll_every: settings.poll_every,
            is_placed: false,
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
        self.is_placed = told.next_poll.is_some() && &*told.reason == PLACED;
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
        if event == WayEvent::UpToDate {
            self.reached = Some(cx.now);
        }
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
                WayAct::Spread => self.due = cx.now + self.spread(cx),
                WayAct::Pace => self.due = self.paced_from(cx) + self.pace(cx),
                WayAct::Apply => self.apply_kept(cx),
            }
        }
        acts
    }

    fn spread(&self, cx: &mut Context) -> Duration {
        if self.is_placed {
            return self.poll_every;
        }
        self.poll_every.mul_f64(cx.chance.draw())
    }

    fn pace(&self, cx: &mut Context) -> Duration {
        match self.way {
            // From half of it on, so that clients do not stay in step.
            Way::Live => self.resync.mul_f64(1.0 - cx.chance.draw() / 2.0),
            Way::Polling | Way::Joining | Way::Away | Way::CatchingUp => self.poll_every,
        }
    }

    /// A connection that comes and goes does not put off the resync, which alone finds what a broker has lost.
    fn paced_from(&self, cx: &Context) -> Duration {
        match self.way {
            Way::Live => self.reached.unwrap_or(cx.now),
            Way::Polling | Way::Joining | Way::Away | Way::CatchingUp => cx.now,
        }
    }

    /// It leaves the broker that it came from.
    pub(super) fn leaves(&mut self) -> Option<Place> {
        self.generation = None;
        self.subscribe_at = None;
        self.place.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::chance::Chance;

    const TOLD: Duration = Duration::from_secs(30);

    /// When a client that was told to poll for this reason polls first, after so many tries of it.
    fn first_polls(reason: &str) -> Vec<Duration> {
        let settings = Settings::default();
        let told = Told {
            transport: Transport::Poll,
            reason: reason.to_owned(),
            topics: Vec::new(),
            target: None,
            next_poll: Some(TOLD),
        };
        let mut cx = Context {
            now: Duration::ZERO,
            settings: settings.clone(),
            chance: Chance::new(7),
            actions: Vec::new(),
        };
        let first = |_| {
            let name = "m".parse().unwrap();
            let mut feed = Feed::new(name, Progress::from_the_beginning(), &settings);
            feed.way = Way::Live;
            feed.obey(&told, TOLD, &settings);
            feed.step(WayEvent::ToldPoll, &mut cx);
            feed.due
        };
        (0..50).map(first).collect()
    }

    #[test]
    fn whom_the_gateway_has_placed_waits_for_its_time() {
        assert!(first_polls(PLACED).iter().all(|due| *due == TOLD));
        for reason in ["stage", "guard"] {
            let spread = first_polls(reason);
            assert!(spread.iter().any(|due| *due < TOLD / 4));
            assert!(spread.iter().any(|due| *due > TOLD / 4 * 3));
        }
    }
}
