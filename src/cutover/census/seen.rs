//! How one client of one module was seen, and what follows from that: how changes reach it, whether its push is healthy, whether it fell
//! back from push.
//!
//! Invariant: nothing here but times and a few words, so that a million of them can be kept.

use crate::{domain::Transport, store::Told};

/// Tenths of a second since the census began; 0 = never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u32);

/// Tenths of a second.
pub(super) type Tenths = u32;

impl Moment {
    pub(super) const NEVER: Self = Self(0);

    pub(super) const fn at(tenths: Tenths) -> Self {
        Self(tenths)
    }

    pub(super) const fn plus(self, span: Tenths) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; 0 if it is not.
    pub(super) const fn since(self, earlier: Self) -> Tenths {
        self.0.saturating_sub(earlier.0)
    }

    /// So many microseconds before `now`; below 0 = after it.
    pub(super) const fn micros_before(self, now: Self) -> i64 {
        (now.0 as i64 - self.0 as i64) * 100_000
    }
}

/// What the bounds say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How long a client that is told to push may go on polling, and how long a session promises push.
    pub(super) grace: Tenths,
    /// How long a sign of push holds.
    pub(super) hold: Tenths,
}

/// What shows that a client is on push, the best last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// Nothing, or a session in which it was told to.
    #[default]
    Session,
    /// Its polls say so, each for itself.
    Polls,
    /// Its reads say so.
    Reads,
    /// It is connected to this process's broker, and subscribed.
    Connection,
}

/// What of a sighting others should hear of soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) transport: Transport,
    told: Told,
    holds: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) first: Moment,
    pub(super) polled: Moment,
    pub(super) pushed: Moment,
    pub(super) push_until: Moment,
    /// Since when its push has held without a gap.
    push_since: Moment,
    /// Since when it has been told to push, whenever it asked; never = it was told to poll.
    told_since: Moment,
    pub(super) told: Told,
    proof: Proof,
    connections: u16,
}

impl Seen {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            first: now,
            polled: Moment::NEVER,
            pushed: Moment::NEVER,
            push_until: Moment::NEVER,
            push_since: Moment::NEVER,
            told_since: Moment::NEVER,
            told: Told::Poll,
            proof: Proof::Session,
            connections: 0,
        }
    }

    /// When it was seen last.
    pub(super) fn last(&self) -> Moment {
        self.polled.max(self.pushed)
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connections > 0
    }

    pub(super) fn holds(&self, now: Moment) -> bool {
        self.connections > 0 || self.push_until > now
    }

    /// As [`crate::store::KnownClient::transport`] says it.
    pub(super) fn transport(&self) -> Transport {
        let polls = self.polled > Moment::NEVER
            && (self.polled >= self.push_until
                || (self.told == Told::Poll && self.polled > self.pushed));
        if polls {
            Transport::Poll
        } else {
            Transport::Push
        }
    }

    pub(super) fn standing(&self, now: Moment) -> Standing {
        Standing {
            transport: self.transport(),
            told: self.told,
            holds: self.holds(now),
        }
    }

    /// It polls. `says_push`: it says itself that it is on push, and polls to be safe. Returns how long its push has been healthy, if it is.
    pub(super) fn polls(
        &mut self,
        told: Transport,
        says_push: bool,
        rules: Rules,
        now: Moment,
    ) -> Option<Tenths> {
        self.hear(told, rules, now);
        if told == Transport::Poll {
            self.end_unless_connected(now);
            // What it was told last is what it polls by, also within a tenth of a second.
            self.polled = now.max(self.pushed.plus(1));
            return None;
        }
        if says_push {
            self.signs(Proof::Polls, rules, now);
        } else if self.proof == Proof::Polls {
            self.end_unless_connected(now);
        }
        if self.connections > 0 {
            self.push_until = self.push_until.max(now.plus(rules.hold));
        }
        self.polled = now;
        let is_healthy = self.holds(now) && self.proof > Proof::Session;
        is_healthy.then(|| now.since(self.push_since))
    }

    /// It reads, and says that it is on push.
    pub(super) fn reads_on_push(&mut self, told: Transport, rules: Rules, now: Moment) {
        self.hear(told, rules, now);
        self.signs(Proof::Reads, rules, now);
    }

    /// It asks what it needs.
    pub(super) fn asks_session(&mut self, told: Transport, rules: Rules, now: Moment) {
        if told == Transport::Poll {
            self.polls(told, false, rules, now);
            return;
        }
        let went_on_polling = self.told == Told::PushForLong
            && self.polled >= self.push_until
            && now.since(self.polled) < rules.grace;
        self.hear(told, rules, now);
        // To ask for what it does not use then is no sign of push.
        if !went_on_polling {
            self.signs(Proof::Session, rules, now);
        }
    }

    /// It is connected and subscribed, once more than before.
    pub(super) fn connects(&mut self, rules: Rules, now: Moment) {
        self.signs(Proof::Connection, rules, now);
        self.connections = self.connections.saturating_add(1);
    }

    /// It still is. Who was told to poll and does, is not on push for it.
    pub(super) fn stays(&mut self, rules: Rules, now: Moment) -> bool {
        let stays = self.connections > 0 && (self.told != Told::Poll || self.pushed >= self.polled);
        if stays {
            self.signs(Proof::Connection, rules, now);
        }
        stays
    }

    /// It is connected once less than before.
    pub(super) fn disconnects(&mut self, now: Moment) {
        self.connections = self.connections.saturating_sub(1);
        if self.connections == 0 {
            self.pushed = self.pushed.max(now);
            self.push_until = now;
            self.proof = Proof::Session;
        }
    }

    fn hear(&mut self, told: Transport, rules: Rules, now: Moment) {
        if told == Transport::Poll {
            self.told_since = Moment::NEVER;
            self.told = Told::Poll;
            return;
        }
        if self.told_since == Moment::NEVER {
            self.told_since = now;
        }
        self.told = if now.since(self.told_since) >= rules.grace {
            Told::PushForLong
        } else {
            Told::Push
        };
    }

    fn signs(&mut self, proof: Proof, rules: Rules, now: Moment) {
        if !self.holds(now) || (self.proof == Proof::Session && proof > Proof::Session) {
            self.push_since = now;
            self.proof = proof;
        } else {
            self.proof = self.proof.max(proof);
        }
        let holds_for = match proof {
            Proof::Session => rules.grace,
            _ => rules.hold,
        };
        self.pushed = now.max(self.polled);
        self.push_until = self.push_until.max(now.plus(holds_for));
    }

    fn end_unless_connected(&mut self, now: Moment) {
        if self.connections == 0 && self.push_until > now {
            self.push_until = now;
            self.proof = Proof::Session;
        }
    }
}

#[cfg(test)]
mod tests {
    use Transport::{Poll, Push};

    use super::*;

    const RULES: Rules = Rules {
        grace: 1_200,
        hold: 9_000,
    };

    fn at(seconds: u32) -> Moment {
        Moment::at(1 + seconds * 10)
    }

    fn fell_back(seen: &Seen) -> bool {
        seen.pushed > Moment::NEVER
            && seen.told == Told::PushForLong
            && seen.polled >= seen.push_until
    }

    #[test]
    fn whoever_is_told_to_push_has_time_before_it_counts_as_fallen_back() {
        let mut seen = Seen::new(at(0));
        assert_eq!(seen.polls(Poll, false, RULES, at(0)), None);
        seen.asks_session(Push, RULES, at(10));
        assert_eq!(seen.transport(), Push);
        // A session is no proof that it works.
        assert_eq!(seen.polls(Push, false, RULES, at(20)), None);
        assert!(!fell_back(&seen) && seen.transport() == Push);
        seen.polls(Push, false, RULES, at(131));
        assert!(fell_back(&seen) && seen.transport() == Poll);
        // The next session of a client that goes on polling changes nothing.
        seen.asks_session(Push, RULES, at(140));
        seen.polls(Push, false, RULES, at(141));
        assert!(fell_back(&seen));
        // One that has stopped polling may try again.
        seen.asks_session(Push, RULES, at(600));
        assert!(!fell_back(&seen) && seen.transport() == Push);
    }

    #[test]
    fn nobody_falls_back_who_was_sent_back() {
        let mut seen = Seen::new(at(0));
        seen.reads_on_push(Push, RULES, at(0));
        for second in 1_000..1_010 {
            seen.polls(Poll, false, RULES, at(second));
            assert!(!fell_back(&seen) && seen.transport() == Poll);
        }
        // Let go again, it hears of it with its next poll.
        seen.polls(Push, false, RULES, at(1_010));
        assert!(!fell_back(&seen));
        seen.polls(Push, false, RULES, at(1_129));
        assert!(!fell_back(&seen));
        seen.polls(Push, false, RULES, at(1_130));
        assert!(fell_back(&seen));
    }

    #[test]
    fn a_connection_is_healthy_until_it_ends() {
        let mut seen = Seen::new(at(0));
        seen.connects(RULES, at(0));
        assert_eq!(seen.polls(Push, false, RULES, at(60)), Some(600));
        // Another connection takes over before the first one is seen to end.
        seen.connects(RULES, at(70));
        seen.disconnects(at(71));
        assert_eq!(seen.polls(Push, false, RULES, at(5_000)), Some(50_000));
        assert_eq!(seen.transport(), Push);
        seen.disconnects(at(5_001));
        assert!(!seen.holds(at(5_001)));
        assert_eq!(seen.polls(Push, false, RULES, at(5_001)), None);
        assert!(fell_back(&seen), "it was told to push long ago");
        seen.connects(RULES, at(5_002));
        assert_eq!(seen.polls(Push, false, RULES, at(5_003)), Some(10));
    }

    #[test]
    fn who_is_told_to_poll_is_not_healthy_and_no_connection_says_otherwise() {
        let mut seen = Seen::new(at(0));
        seen.connects(RULES, at(0));
        assert_eq!(seen.polls(Poll, false, RULES, at(1)), None);
        assert_eq!(seen.polls(Poll, true, RULES, at(2)), None);
        assert!(!seen.stays(RULES, at(3)));
        assert_eq!(seen.transport(), Poll);
        seen.asks_session(Push, RULES, at(4));
        assert!(seen.stays(RULES, at(5)));
        assert_eq!(seen.transport(), Push);
    }

    #[test]
    fn polls_that_say_so_are_healthy_one_by_one() {
        let mut seen = Seen::new(at(0));
        assert_eq!(seen.polls(Push, true, RULES, at(0)), Some(0));
        assert_eq!(seen.polls(Push, true, RULES, at(100)), Some(1_000));
        assert_eq!(seen.polls(Push, false, RULES, at(101)), None);
        assert_eq!(seen.polls(Push, true, RULES, at(200)), Some(0));
        // Of one whose reads say so, the polls need not.
        seen.reads_on_push(Push, RULES, at(200));
        assert_eq!(seen.polls(Push, false, RULES, at(300)), Some(1_000));
        assert_eq!(seen.polls(Push, false, RULES, at(1_100)), None, "lapsed");
    }
}
