//! What an event is, once the log has been read up to it.

use std::time::Duration;

use super::{Begin, REPORTED_AFTER, STRANGERS, Suspicion, Watch};
use crate::{
    domain::Position,
    mirror::verifier::{
        Outcome, Problem, received::Received, sight::Sight, tally::Tally, window::Arrival,
    },
};

impl Watch {
    /// An event has come.
    pub(in crate::mirror::verifier) fn hear(
        &mut self,
        event: Received,
        sight: &Sight<'_>,
        tally: &mut Tally,
    ) {
        if event.epoch < self.epoch {
            // Just before a new epoch, or before the lease was ours, it was right.
            if sight.now.duration_since(self.since) > sight.grace() {
                let detail = format!("it is of epoch {}, the log of {}", event.epoch, self.epoch);
                tally.blame(Outcome::Foreign, Some(event.position), sight.time, detail);
            }
            return;
        }
        if event.epoch > self.epoch || !self.reaches(&event, sight, tally) {
            self.strangers.push_back((sight.now, event));
            if self.strangers.len() > STRANGERS {
                self.drop_stranger(sight, tally);
            }
            return;
        }
        let share = self.share_at(event.position);
        let arrival = self.window.arrive(&event, share, sight.now);
        self.judge(&event, arrival, sight, tally);
    }

    /// Reads the log up to an event. False if the log ends before.
    fn reaches(&mut self, event: &Received, sight: &Sight<'_>, tally: &mut Tally) -> bool {
        let last = sight.tail.edge(&self.module).map(|edge| edge.last);
        if event.position > self.read_to && last.is_none_or(|last| event.position > last) {
            return false;
        }
        if let Begin::Between(acknowledged, head) = self.begin {
            // What was sent before it and not acknowledged can reach no farther.
            let near = Position::new(event.position.get().saturating_add(sight.slack));
            self.begin = Begin::Above(acknowledged.max(near.min(head)));
        }
        self.read(event.position, sight, tally)
    }

    fn judge(&mut self, event: &Received, arrival: Arrival, sight: &Sight<'_>, tally: &mut Tally) {
        let mut blame = |outcome, detail| {
            tally.blame(outcome, Some(event.position), sight.time, detail);
        };
        match arrival {
            Arrival::Passed => {}
            Arrival::First {
                sequenced_at,
                reordered,
                previous,
            } => {
                let took = sight.time.since(sequenced_at);
                sight.delivery.record(took.as_secs_f64());
                if let Some(previous) = previous {
                    blame(Outcome::Previous, other_previous(event, previous));
                } else if reordered {
                    let detail = "a later change of its channel came before it".to_owned();
                    blame(Outcome::Reordered, detail);
                } else if took > Duration::from_millis(sight.settings.late_ms) {
                    let detail = format!("it came {} ms after it was numbered", took.as_millis());
                    blame(Outcome::Late, detail);
                } else {
                    tally.count(Outcome::Ok, 1);
                }
            }
            Arrival::AfterAll => {
                let detail = "it came after it had been counted as missing".to_owned();
                blame(Outcome::Late, detail);
            }
            Arrival::Again(first_came) => {
                tally.count(Outcome::Duplicate, 1);
                self.suspicion.get_or_insert(Suspicion {
                    position: event.position,
                    first_came: first_came.unwrap_or(sight.now),
                    since: sight.now,
                    at: sight.time,
                });
            }
            Arrival::AgainOtherwise(previous) => {
                blame(Outcome::Previous, other_previous(event, previous));
            }
            Arrival::Unlike => {
                let detail = "the log has another change at this position".to_owned();
                blame(Outcome::Foreign, detail);
            }
            Arrival::Unknown => {
                let detail = "the log has no change at this position".to_owned();
                blame(Outcome::Foreign, detail);
            }
        }
    }

    /// A repeat is no fault if the publisher began again after the change had come, or was about to.
    pub(super) fn settle_suspicion(&mut self, sight: &Sight<'_>, tally: &mut Tally) {
        let Some(Suspicion {
            position,
            first_came,
            since,
            at,
        }) = self.suspicion
        else {
            return;
        };
        if first_came < self.run_since + sight.grace() {
            self.suspicion = None;
        } else if sight.now.duration_since(since) >= REPORTED_AFTER {
            self.suspicion = None;
            tally.complain(Problem {
                outcome: Outcome::Duplicate,
                position: Some(position),
                at,
                detail: "it came twice, and the mirror had no reason to send it again".to_owned(),
            });
        }
    }

    pub(super) fn hear_strangers(&mut self, sight: &Sight<'_>, tally: &mut Tally) {
        for (came, event) in std::mem::take(&mut self.strangers) {
            if sight.now.duration_since(came) > sight.grace() {
                self.call_foreign(&event, sight, tally);
            } else if self.is_near(&event, sight) {
                self.hear(event, sight, tally);
            } else {
                self.strangers.push_back((came, event));
            }
        }
    }

    /// Whether the log has got as far as an event.
    fn is_near(&self, event: &Received, sight: &Sight<'_>) -> bool {
        let edge = sight.tail.edge(&self.module);
        event.epoch < self.epoch
            || event.epoch == self.epoch && edge.is_some_and(|edge| event.position <= edge.last)
    }

    fn drop_stranger(&mut self, sight: &Sight<'_>, tally: &mut Tally) {
        if let Some((_, event)) = self.strangers.pop_front() {
            self.call_foreign(&event, sight, tally);
        }
    }

    fn call_foreign(&self, event: &Received, sight: &Sight<'_>, tally: &mut Tally) {
        let detail = format!("the log ends before it, in epoch {}", self.epoch);
        tally.blame(Outcome::Foreign, Some(event.position), sight.time, detail);
    }
}

fn other_previous(event: &Received, previous: Position) -> String {
    format!(
        "it names {} as its predecessor, the log {previous}",
        event.previous
    )
}
