//! Taking and keeping the leases of the modules, and saying that this replica lives.

use std::time::{Duration, Instant};

use super::{Sequencer, spreading};
use crate::{
    config::sequencer::Sequencer as Bounds,
    domain::{Cursor, ModuleName},
    log::witnesses::{Evidence, Witness},
    store::{self, Lease, Share},
    telemetry::{Purpose, metric},
};

/// When leases are to be renewed, and when vacant ones are to be tried.
#[derive(Debug)]
pub(super) struct Rhythm {
    pub(super) lease: Duration,
    renew: Duration,
    attempt: Duration,
    renew_at: Instant,
    attempt_at: Instant,
    /// When others may first be asked for modules.
    pub(super) even_out_at: Instant,
    heads_exist: bool,
}

/// Vacant leases are tried so many times per renewal, so that a take-over follows the expiry
/// closely.
const ATTEMPTS_PER_RENEWAL: u32 = 4;

impl Rhythm {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        let renew = Duration::from_millis(bounds.renew_ms);
        Self {
            lease: Duration::from_millis(bounds.lease_ms),
            renew,
            attempt: renew / ATTEMPTS_PER_RENEWAL,
            renew_at: now,
            attempt_at: now,
            even_out_at: now + Duration::from_millis(bounds.even_out_after_ms),
            heads_exist: false,
        }
    }

    /// How long until something is due here.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let due = self.renew_at.min(self.attempt_at);
        due.saturating_duration_since(now)
    }
}

impl Sequencer {
    pub(super) async fn keep_leases(&mut self) -> store::Result<()> {
        if !self.rhythm.heads_exist {
            self.store.ensure_modules(&self.served.modules).await?;
            self.rhythm.heads_exist = true;
        }
        let now = Instant::now();
        if now >= self.rhythm.renew_at {
            // First: who dies must not be counted any more when its leases have expired.
            self.beat().await?;
            if self.presence.is_displaced() {
                return Ok(());
            }
            self.renew().await?;
            self.rhythm.renew_at = now + self.rhythm.renew;
        }
        if now >= self.rhythm.attempt_at {
            self.attempt().await?;
            self.rhythm.attempt_at = now + self.rhythm.attempt;
        }
        self.finish_hand_overs().await
    }

    /// Says that this replica lives, answers those who ask for modules, and decides what to ask for.
    async fn beat(&mut self) -> store::Result<()> {
        let holds = self.leadership.leases().len();
        let lives = self.presence.beat(&*self.store, holds, &self.wants).await?;
        if !lives {
            self.give_up();
            return Ok(());
        }
        let others = self.presence.others();
        #[expect(
            clippy::cast_precision_loss,
            reason = "so many processes or modules there are not"
        )]
        {
            metrics::gauge!(metric::INSTANCES).set((others.len() + 1) as f64);
            metrics::gauge!(metric::LEASES).set(holds as f64);
        }
        self.begin_hand_overs(&others);
        let ask = Instant::now() >= self.rhythm.even_out_at && spreading::is_uneven(holds, &others);
        self.wants = if ask {
            let heads = self.store.heads(Purpose::Lease).await?;
            let most = self.rules.bounds.moves as usize;
            spreading::wants(holds, &self.served.modules, &others, &heads, most)
        } else {
            Vec::new()
        };
        Ok(())
    }

    /// Another process has this one's name: whatever it held is not its own any more.
    fn give_up(&mut self) {
        let name = self.presence.name();
        tracing::error!(
            instance = name,
            "another process runs under this server.instance: this one ends"
        );
        for lease in self.leadership.leases() {
            self.leadership.lose(&lease);
        }
        self.leaving.clear();
    }

    async fn renew(&mut self) -> store::Result<()> {
        let held = self.leadership.leases();
        if held.is_empty() {
            return Ok(());
        }
        let asked_at = Instant::now();
        let kept = self.store.renew(&held, self.rhythm.lease).await?;
        for lease in held.iter().filter(|lease| !kept.contains(lease)) {
            tracing::warn!(module = %lease.module, "the lease is lost to another holder");
            self.leadership.lose(lease);
            count_move("lost", 1);
            self.channels.clear();
            // In an older copy that was put in place, the row itself may be missing.
            self.rhythm.heads_exist = false;
            self.pacing.forget();
        }
        self.leadership.hold(&kept, asked_at, self.rhythm.lease);
        Ok(())
    }

    async fn attempt(&mut self) -> store::Result<()> {
        let vacant = self.not_held();
        if vacant.is_empty() {
            return Ok(());
        }
        let (asked_at, span) = (Instant::now(), self.rhythm.lease);
        let (holder, share) = (self.presence.name(), self.share(vacant.len()));
        let taken = self.store.acquire(&vacant, holder, span, share).await?;
        if taken.is_empty() {
            return Ok(());
        }
        count_move("taken", taken.len());
        let heads = self.look_at_heads(&taken).await?;
        for Lease { module, token } in &taken {
            tracing::info!(%module, token, "this replica numbers and mirrors the module now");
        }
        // Somebody else may have written to these logs since they were ours.
        self.channels.clear();
        self.pacing.forget();
        self.leadership.hold(&taken, asked_at, span);
        for (lease, head) in taken.iter().zip(heads) {
            self.leadership.began(lease, head);
        }
        Ok(())
    }

    /// At once what belongs to a fair share; what is beyond it only if nobody else has taken it for one try.
    fn share(&self, not_held: usize) -> Share {
        let modules = self.served.modules.len();
        let fair = spreading::fair_share(modules, self.presence.others().len());
        match fair.saturating_sub(modules - not_held) {
            0 => Share {
                overdue: self.rhythm.attempt,
                ..Share::ALL
            },
            room => Share {
                most: u32::try_from(room).unwrap_or(u32::MAX),
                ..Share::ALL
            },
        }
    }

    /// Where the logs of leases end that were just taken, so that nobody else moves them. Whatever
    /// reaches beyond is evidence against the module, which is not numbered then; the tail takes over a
    /// new epoch before its first row is numbered here.
    async fn look_at_heads(&self, taken: &[Lease]) -> store::Result<Vec<Cursor>> {
        let heads = self.store.heads(Purpose::Lease).await?;
        let beyond = self.store.beyond_heads().await?;
        let mut ends = Vec::with_capacity(taken.len());
        for Lease { module, .. } in taken {
            let Some(head) = heads.iter().find(|head| head.module == *module) else {
                return Err(store::Error::LeaseLost {
                    module: module.clone(),
                });
            };
            let seen = beyond.iter().filter(|(name, _)| name == module);
            if let Some(cursor) = seen.map(|(_, cursor)| *cursor).max() {
                self.testify(module, cursor, Witness::Database, head.cursor());
            }
            if !self.is_restored(module, head.cursor()) {
                self.tail.adopt_head(head);
            }
            ends.push(head.cursor());
        }
        Ok(ends)
    }

    /// Memory holds confirmed commits only. If it is above the end of the database's log, which nobody moves
    /// meanwhile, an older copy was put in place under this process, or commits were lost: numbering would
    /// give positions a second time. That is told, and true is returned.
    pub(super) fn is_restored(&self, module: &ModuleName, head: Cursor) -> bool {
        let known = self.tail.edge(module).map(|edge| edge.cursor());
        let beyond = known.filter(|known| *known > head);
        if let Some(cursor) = beyond {
            self.testify(module, cursor, Witness::Tail, head);
        }
        beyond.is_some()
    }

    fn testify(&self, module: &ModuleName, cursor: Cursor, witness: Witness, head: Cursor) {
        self.witnesses.tell(Evidence {
            module: module.clone(),
            cursor,
            witness,
            head,
            under: None,
        });
    }

    fn not_held(&self) -> Vec<ModuleName> {
        let held = self.leadership.leases();
        let is_held = |module: &ModuleName| held.iter().any(|lease| lease.module == *module);
        let modules = self.served.modules.iter();
        modules.filter(|module| !is_held(module)).cloned().collect()
    }
}

pub(super) fn count_move(what: &'static str, leases: usize) {
    metrics::counter!(metric::LEASE_MOVES, "what" => what).increment(leases as u64);
}
