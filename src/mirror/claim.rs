//! Whose a module's topics on one broker are: ours, or those of another log, which is the one of another database.
//!
//! Invariants: where another log's retained message stands, nothing of ours is published before the broker has shown, for as long as it takes,
//! that nobody publishes that log any more. Of two that publish beside each other, the one with the greater identity yields and the other goes on,
//! so one of them is left. Whoever does not say its identity never yields, so we do.

use std::time::{Duration, Instant};

use super::message::bookmark::Seen;
use crate::domain::{Cursor, LogId};

/// What the broker has shown of a module.
#[derive(Debug, Default)]
pub struct Claim {
    /// The log that is published there, or was.
    other: Option<Other>,
    /// The one that has to yield to ours, and publishes beside us until it has heard of us.
    yielding: Option<Yielding>,
    /// Until when no epoch is begun on the broker's word, if it asks for one.
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Other {
    /// What it said last.
    said: Shown,
    /// Whether it was heard, and not only found.
    lives: bool,
    /// Since when nothing new of it was heard.
    silent_since: Instant,
    look: Look,
}

#[derive(Debug)]
struct Yielding {
    log: LogId,
    /// What it said last, and when.
    seen: Seen,
    heard_at: Instant,
    /// The furthest that this one has reached, and those that had to yield before it.
    reached: Option<Cursor>,
    /// Whether it was told that the epoch after its end has to wait.
    told_late: bool,
}

/// A message that the broker has shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// What it says.
    pub seen: Seen,
    /// Of the whole message.
    print: u32,
    /// Whether the broker had kept it: nobody published it just now.
    kept: bool,
}

impl Shown {
    /// What is in a message.
    pub fn new(seen: Seen, mut payload: &[u8], kept: bool) -> Self {
        let print = murmur3::murmur3_32(&mut payload, 0);
        let print = print.expect("reading from memory does not fail");
        Self { seen, print, kept }
    }
}

/// The last look before a take-over: the retained message is asked for once more, which shows as well that the connection still works.
#[derive(Debug, Clone, Copy)]
enum Look {
    NotYet,
    Asked,
    Answered(Instant),
}

/// What we are while the broker shows something.
#[derive(Debug, Clone, Copy)]
pub struct Ours {
    /// The identity of our database.
    pub log: LogId,
    /// Whether this replica has the module's lane.
    pub leads: bool,
    /// Whether it has published its retained message on this connection: what comes after that was published after it.
    pub publishes: bool,
}

/// Why nothing is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Another log's message was found, and nobody knows whether anybody is behind it.
    Found,
    /// Another log is published at this time.
    Lives,
    /// The broker asks for one more epoch too soon.
    Rests,
}

/// What is to be done about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing, or nothing yet.
    Nothing,
    /// The last look.
    Look,
    /// Nobody is there any more.
    TakeOver,
    /// Whoever published beside us has ended, and went as far as this.
    Outlived(Option<Cursor>),
}

/// So many intervals a gateway that lives is not silent: one message may be lost, and one late.
const SILENT_INTERVALS: u32 = 3;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// In which a gateway publishes the message: ours, and another's if it does not say.
    pub interval: Duration,
    /// After the answer to the last look, for what it shows.
    pub settle: Duration,
}

impl Patience {
    /// Without anything new of the other log: by its interval or ours, whichever is longer.
    fn silence(self, other: Seen) -> Duration {
        self.interval.max(other.interval()) * SILENT_INTERVALS
    }
}

impl Claim {
    /// The broker has shown a message. Returns whose log it is if that one has to yield, and was not told of.
    pub fn see(&mut self, said: Shown, ours: Ours, now: Instant) -> Option<LogId> {
        if said.seen.log() == Some(ours.log) {
            // With a lane of ours it is an echo of what we published before we yielded.
            if !ours.leads {
                self.other = None;
            }
            return None;
        }
        match &mut self.other {
            Some(other) if other.said.print == said.print => {}
            Some(other) => {
                self.rests_until = None;
                *other = Other {
                    said,
                    lives: true,
                    silent_since: now,
                    look: Look::NotYet,
                }
            }
            None => return self.meet(said, ours, now),
        }
        None
    }

    /// A message that is not ours, or does not say so, and there was none.
    fn meet(&mut self, said: Shown, ours: Ours, now: Instant) -> Option<LogId> {
        // What the broker kept may come late: it was published before ours.
        let beside = ours.publishes && !said.kept;
        match said.seen.log() {
            // A gateway of before, with our database for all we know.
            None if !beside => return None,
            Some(log) if beside && log > ours.log => {
                let known = self.yielding.take();
                let before = known.as_ref().and_then(|known| known.reached);
                self.yielding = Some(Yielding {
                    log,
                    seen: said.seen,
                    heard_at: now,
                    reached: said.seen.cursor().max(before),
                    told_late: known.as_ref().is_some_and(|known| known.told_late),
                });
                return known.is_none_or(|known| known.log != log).then_some(log);
            }
            _ => {}
        }
        self.rests_until = None;
        self.other = Some(Other {
            said,
            lives: beside,
            silent_since: now,
            look: Look::NotYet,
        });
        None
    }

    /// The retained message was taken away. Whoever lives publishes it again; of whoever does not there is no more to learn, but clients
    /// followed it all the same.
    pub fn see_nothing(&mut self, now: Instant) {
        if let Some(other) = self.other.as_mut().filter(|other| !other.lives) {
            other.look = Look::Answered(now);
        }
    }

    /// A new connection: what was said in between was not heard.
    pub fn begin_connection(&mut self, now: Instant) {
        if let Some(other) = &mut self.other {
            (other.silent_since, other.look) = (now, Look::NotYet);
        }
        if let Some(yielding) = &mut self.yielding {
            yielding.heard_at = now;
        }
    }

    /// What there is to be done. The last look counts as asked for from then on.
    pub fn due(&mut self, patience: Patience, now: Instant) -> Due {
        let since = |then: Instant| now.saturating_duration_since(then);
        let Some(other) = &mut self.other else {
            let ended = |it: &&Yielding| since(it.heard_at) >= patience.silence(it.seen);
            let outlived = self.yielding.as_ref().filter(ended);
            return outlived.map_or(Due::Nothing, |it| Due::Outlived(it.reached));
        };
        match other.look {
            Look::NotYet if since(other.silent_since) >= patience.silence(other.said.seen) => {
                other.look = Look::Asked;
                Due::Look
            }
            Look::Answered(at) if since(at) >= patience.settle => Due::TakeOver,
            Look::NotYet | Look::Asked | Look::Answered(_) => Due::Nothing,
        }
    }

    /// The last look could not be asked for.
    pub fn not_asked(&mut self) {
        if let Some(other) = &mut self.other {
            other.look = Look::NotYet;
        }
    }

    /// The broker has answered a look. Where it shows us nothing, whoever was heard before may live on unheard.
    pub fn answered(&mut self, shows: bool, now: Instant) {
        if let Some(other) = &mut self.other
            && matches!(other.look, Look::Asked)
            && (shows || !other.lives)
        {
            other.look = Look::Answered(now);
        }
    }

    /// The other log's last word, while there is one.
    pub fn other(&self) -> Option<Seen> {
        self.other.as_ref().map(|other| other.said.seen)
    }

    /// The topics are ours from now on.
    pub fn take_over(&mut self) {
        self.other = None;
    }

    /// Clients that followed the one that published beside us know of it, or nobody here will tell them. Returns whether there was one.
    pub fn forget_outlived(&mut self) -> bool {
        self.yielding.take().is_some()
    }

    /// Clients that followed it hear of it later than they should. Returns whether that is new.
    pub fn note_late(&mut self) -> bool {
        let yielding = self.yielding.as_mut();
        yielding.is_some_and(|it| !std::mem::replace(&mut it.told_late, true))
    }

    /// The broker asks for one more epoch, but not before this moment; or it asks for none.
    pub fn rest_until(&mut self, until: Option<Instant>) {
        self.rests_until = until;
    }

    /// Why nothing is published, if so.
    pub fn keeps_off(&self) -> Option<Keeps> {
        let other = self.other.as_ref();
        let other = other.map(|other| {
            if other.lives {
                Keeps::Lives
            } else {
                Keeps::Found
            }
        });
        self.rests_until.map(|_| Keeps::Rests).or(other)
    }

    /// The same in words.
    pub fn reason(&self, patience: Patience, now: Instant) -> Option<String> {
        let other = self.other();
        let silence = other.map_or(Duration::ZERO, |other| patience.silence(other));
        let silence = humantime::format_duration(silence);
        let log = other.and_then(Seen::log);
        let log = log.map_or_else(
            || "one without an identity".to_owned(),
            |log| log.to_string(),
        );
        Some(match self.keeps_off()? {
            Keeps::Found => format!(
                "the retained message there is of another log ({log}): listening whether a gateway publishes it; if none does for {silence}, this one goes on"
            ),
            Keeps::Lives => format!(
                "another gateway publishes its own log ({log}) there: give each gateway its own `mqtt.topic_prefix`; once none has done so for {silence}, this one goes on"
            ),
            Keeps::Rests => {
                let left = self
                    .rests_until
                    .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
                let minutes = left.as_secs().div_ceil(60);
                format!(
                    "the retained message there asks for one more new epoch, shortly after the last: if a gateway of an older release or with a copy of this database publishes there, give each its own `mqtt.topic_prefix`; the epoch begins in {minutes} min, or by `changeover epoch bump`"
                )
            }
        })
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
