//! Topics on which another log is published: this gateway keeps off, listens, and takes them over once nobody is there.
//!
//! Invariants: what another log says is no evidence against ours; nothing of a module is sent while its topics are not ours, and what was not
//! sent is sent when they are; whoever takes them over has a higher epoch than the other log had.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::{Cursor, ModuleName},
    log::{Evidence, Witness},
    mirror::{
        claim::{Claim, Due, Ours, Patience, Shown},
        line::FIRST_LINE,
    },
};

/// What a look shows may come some time after its answer, whatever a new connection waits for.
const LEAST_SETTLE: Duration = Duration::from_secs(1);

/// How our epoch stands to another log's.
enum Above {
    /// It is higher.
    Yes,
    /// A new one was asked for.
    Soon,
    /// It is too early for a new one.
    NotBefore(Instant),
    /// Somebody is at it, or the lease has gone.
    Unknown,
}

impl<S: MirrorStore + ?Sized> Publisher<S> {
    fn patience(&self) -> Patience {
        Patience {
            interval: Duration::from_millis(self.settings.bookmark_ms),
            settle: Duration::from_millis(self.settings.settle_ms).max(LEAST_SETTLE),
        }
    }

    /// The broker has shown the retained message of a module, or somebody publishes it.
    pub(super) fn on_claim(&mut self, module: &ModuleName, said: Shown, now: Instant) {
        let lane = self.lanes.iter().find(|lane| lane.module == *module);
        let ours = Ours {
            log: self.sources.log,
            leads: lane.is_some(),
            publishes: lane.is_some_and(|lane| lane.bookmark.sent.is_some()),
        };
        let claim = self.claims.entry(module.clone()).or_default();
        if let Some(log) = claim.see(said, ours, now) {
            tracing::error!(
                broker = %self.target.name, %module, %log, ours = %self.sources.log,
                "another gateway publishes its own log there as well, and has to keep off, as its log has the greater identity: give each gateway its own `mqtt.topic_prefix`"
            );
        }
    }

    /// A retained message was deleted.
    pub(super) fn on_taken_away(&mut self, topic: &str, now: Instant) {
        let module = self.topics.bookmark_module(topic);
        if let Some(claim) = module.and_then(|module| self.claims.get_mut(&module)) {
            claim.see_nothing(now);
        }
    }

    /// The broker has answered a subscription.
    pub(super) fn note_looks(&mut self, on: usize, now: Instant) {
        if on == FIRST_LINE {
            let admitted = self.lines[FIRST_LINE].admitted();
            let shows = admitted.is_some_and(|admitted| admitted.seen.is_some());
            let claims = self.claims.values_mut();
            claims.for_each(|claim| claim.answered(shows, now));
        }
    }

    /// Looks whose the topics of each lane are, and what has become of our log.
    pub(super) fn settle_claims(&mut self, now: Instant) {
        let Some(admitted) = self.lines[FIRST_LINE].admitted() else {
            return;
        };
        if admitted.seen.is_none() {
            // It cannot be asked.
            self.note_looks(FIRST_LINE, now);
        }
        let patience = self.patience();
        for at in 0..self.lanes.len() {
            let module = &self.lanes[at].module;
            let claim = self.claims.get_mut(module);
            match claim.map(|claim| claim.due(patience, now)) {
                Some(Due::Look) => self.look_again(at),
                Some(Due::TakeOver) => self.take_over(at, now),
                Some(Due::Outlived(reached)) => self.outlive(at, reached, now),
                Some(Due::Nothing) | None => {}
            }
        }
        self.compare(now);
        for lane in &mut self.lanes {
            let claim = self.claims.get(&lane.module);
            let why =
                claim.and_then(|claim| Some((claim.keeps_off()?, claim.reason(patience, now)?)));
            lane.keep_off(&self.target.name, why, self.ledger.prefix(lane.id));
        }
    }

    /// Asks for a retained message once more. What cannot be handed over now is asked for again.
    fn look_again(&mut self, at: usize) {
        let module = &self.lanes[at].module;
        let topic = self.topics.bookmark(module);
        let connection = self.lines[FIRST_LINE].connection.as_ref();
        let asked =
            connection.is_some_and(|connection| connection.link.subscribe(&[topic], false).is_ok());
        if let Some(claim) = self.claims.get_mut(module).filter(|_| !asked) {
            claim.not_asked();
        }
    }

    /// Nobody is there any more. Clients that followed the other log may be: unless our epoch is higher, a new one begins.
    fn take_over(&mut self, at: usize, now: Instant) {
        let module = &self.lanes[at].module;
        let Some(other) = self.claims.get(module).and_then(Claim::other) else {
            return;
        };
        // The topics are ours when the epoch is there, and not before: it may fail, and is told of again then.
        let reached = other.log().and_then(|_| other.cursor());
        let is_above = self.is_above(at, reached, now);
        let module = &self.lanes[at].module;
        let claim = self.claims.get_mut(module).expect("it was there");
        match is_above {
            Above::Yes => {
                claim.rest_until(None);
                claim.take_over();
                tracing::warn!(broker = %self.target.name, %module, "nobody publishes the other log there any more: taking its topics over");
            }
            Above::Soon => claim.rest_until(None),
            Above::NotBefore(moment) => claim.rest_until(Some(moment)),
            Above::Unknown => {}
        }
    }

    /// Whoever published beside us has ended. Clients have its changes as well: a new epoch begins in the same way, but nothing waits for it,
    /// as what we publish meanwhile is ours.
    fn outlive(&mut self, at: usize, reached: Option<Cursor>, now: Instant) {
        let is_above = self.is_above(at, reached, now);
        let module = &self.lanes[at].module;
        let Some(claim) = self.claims.get_mut(module) else {
            return;
        };
        match is_above {
            Above::Yes => {
                claim.forget_outlived();
            }
            Above::NotBefore(moment) if claim.note_late() => {
                let minutes = moment.saturating_duration_since(now).as_secs().div_ceil(60);
                tracing::error!(
                    broker = %self.target.name, %module, minutes,
                    "clients may have followed another gateway that published here until now, and take positions of ours for its own: the new epoch that tells them follows one so soon that it waits; `changeover epoch bump` begins it at once"
                );
            }
            Above::Soon | Above::NotBefore(_) | Above::Unknown => {}
        }
    }

    /// A lane is closed. Who has it next does not know who published beside us.
    pub(super) fn hand_over_claim(&mut self, module: &ModuleName) {
        let claim = self.claims.get_mut(module);
        if claim.is_some_and(Claim::forget_outlived) {
            tracing::error!(
                broker = %self.target.name, %module,
                "clients may have followed another gateway that published here until lately, and this one no longer mirrors the module: `changeover epoch bump` tells them"
            );
        }
    }

    /// Whether our epoch is higher than the one that another log has reached, if it has reached any. If it is not, one is asked for.
    fn is_above(&self, at: usize, reached: Option<Cursor>, now: Instant) -> Above {
        let lane = &self.lanes[at];
        let witnesses = &self.sources.witnesses;
        let began = self.sources.leadership.beginning(&lane.lease);
        let Some(head) = began.filter(|_| !witnesses.are_open(&lane.module)) else {
            return Above::Unknown;
        };
        let Some(cursor) = reached.filter(|reached| reached.epoch >= head.epoch) else {
            return Above::Yes;
        };
        let evidence = Evidence {
            module: lane.module.clone(),
            cursor,
            witness: Witness::Former(self.target.name.clone()),
            head,
            under: Some(lane.lease.token),
        };
        let told = witnesses.tell_shown(evidence, now);
        told.map_or_else(Above::NotBefore, |()| Above::Soon)
    }
}
