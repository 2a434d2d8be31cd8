//! The task that makes a target's clients and removes them.
//!
//! Invariants: one message at a time, of at most `dynsec.batch` commands for clients; after a connection was made, what the broker has is known before
//! anything is made; a message that is not answered ends the connection, since what came of it is not known.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Trouble,
    asking::{ask, check_defaults, list, succeeded},
    batch::{Batch, Making},
    command::Command,
    desk::Desk,
    exchange::Exchange,
};
use crate::{
    config,
    domain::{Backoff, Micros},
    identity::passes::lasting_name_end,
    mirror::{
        mqtt::LinkOptions,
        target::{Target, TargetStatus},
    },
};

/// The clerk of a desk.
pub struct Clerk {
    desk: Arc<Desk>,
    /// Where it is told what is wrong.
    status: Arc<TargetStatus>,
    options: LinkOptions,
    backoff: Backoff,
    chance: fn() -> f64,
    connections: u64,
    /// Roles that the broker has, as far as we know.
    roles: HashSet<String>,
    survey_at: Instant,
    /// What was wrong when it was told last.
    trouble: Option<Trouble>,
}

/// Replicas do not remove the same clients in the same moment, most of the time.
const SPREAD: Duration = Duration::from_millis(250);
/// How long to wait while nothing is known of the time.
const NO_TIME: Duration = Duration::from_millis(200);
/// Sessions wait for the clerk, and one connection costs little: it tries again at least so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pauses between connections: those of the mirror, up to a longest.
fn pauses(mirror: &config::mirror::Mirror) -> Backoff {
    let pause = |ms| Duration::from_millis(ms).min(LONGEST_PAUSE);
    Backoff::new(pause(mirror.backoff_min_ms), pause(mirror.backoff_max_ms))
}

impl Clerk {
    /// A clerk that is not connected yet. `number` is one that no other replica has.
    pub fn new(
        desk: Arc<Desk>,
        (target, status): (&Target, Arc<TargetStatus>),
        mirror: &config::mirror::Mirror,
        (chance, number): (fn() -> f64, u64),
    ) -> Self {
        Self {
            desk,
            status,
            options: target.keeper_options(mirror),
            backoff: pauses(mirror),
            chance,
            connections: number,
            roles: HashSet::new(),
            survey_at: Instant::now(),
            trouble: None,
        }
    }

    /// Works until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                ended = self.serve() => ended,
            };
            self.desk.close();
            self.desk.report();
            match ended {
                Ok(never) => match never {},
                Err(trouble) => self.tell(trouble),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(self.backoff.pause((self.chance)())) => {}
            }
        }
    }

    fn tell(&mut self, trouble: Trouble) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(
                target_name = %self.desk.target,
                %trouble,
                "clients cannot be made on this broker: sessions tell them to poll"
            );
        }
        let told = format!("clients cannot be made: {trouble}");
        self.status.set_shut(Some(&told));
        self.trouble = Some(trouble);
    }

    /// Connects, and does what there is to do until the connection is over.
    async fn serve(&mut self) -> Result<Infallible, Trouble> {
        let time = self.time().await;
        self.connections = self.connections.wrapping_add(1);
        let patience = self.desk.settings.timeout();
        let mut broker = Exchange::open(&self.options, self.connections, patience).await?;
        self.survey(&mut broker, time).await?;
        self.backoff.reset();
        self.status.set_shut(None);
        if self.trouble.take().is_some() {
            tracing::info!(target_name = %self.desk.target, "clients can be made on this broker again");
        }
        loop {
            self.make(&mut broker).await?;
            let now = self.time().await;
            let all_removed = self.remove(&mut broker, now).await?;
            if self.survey_at <= Instant::now() {
                self.survey(&mut broker, now).await?;
            }
            self.desk.report();
            if !all_removed || self.desk.is_waited_for() {
                continue;
            }
            tokio::select! {
                () = self.desk.came() => {}
                () = sleep_until(self.next_look(now)) => {}
                trouble = broker.ended() => return Err(trouble),
            }
        }
    }

    /// The time by the database's clock.
    async fn time(&self) -> Micros {
        loop {
            match self.desk.passes.now() {
                Some(now) => return now,
                None => sleep(NO_TIME).await,
            }
        }
    }

    fn next_look(&self, now: Micros) -> Instant {
        let Some(end) = self.desk.soonest() else {
            return self.survey_at;
        };
        let spread = SPREAD.mul_f64((self.chance)().clamp(0.0, 1.0));
        let removal = Instant::now() + end.since(now) + spread;
        removal.min(self.survey_at)
    }

    /// Asks what the broker has, and removes roles that are past their use.
    async fn survey(&mut self, broker: &mut Exchange, now: Micros) -> Result<(), Trouble> {
        let answer = ask(&self.desk, broker, &[Command::defaults()]).await?;
        check_defaults(&succeeded(&answer[0])?.data)?;
        let mut clients = HashMap::new();
        for name in list(&self.desk, broker, "clients", Command::clients).await? {
            if let Some(end) = lasting_name_end(&name) {
                clients.insert(name, end);
            }
        }
        self.desk.open(clients);
        let roles = list(&self.desk, broker, "roles", Command::roles).await?;
        self.roles = roles.into_iter().collect();
        self.remove_roles(broker, now).await?;
        let spread = 1.0 - (self.chance)().clamp(0.0, 1.0) / 10.0;
        self.survey_at = Instant::now() + self.desk.settings.survey.get().mul_f64(spread);
        Ok(())
    }

    /// Removes clients whose end has come, which ends their connections: as many as one message holds, so that nobody waits long who needs one. Returns whether
    /// that was all.
    async fn remove(&self, broker: &mut Exchange, now: Micros) -> Result<bool, Trouble> {
        let most = self.desk.settings.batch;
        let ended = self.desk.ended(now, most);
        if ended.is_empty() {
            return Ok(true);
        }
        let commands: Vec<_> = ended
            .iter()
            .map(|name| Command::remove_client(name))
            .collect();
        let answers = ask(&self.desk, broker, &commands).await?;
        for (name, answer) in ended.iter().zip(&answers) {
            succeeded(answer)?;
            self.desk.removed(name);
        }
        Ok(ended.len() < most)
    }

    /// Removes roles that nobody can have: no client lives beyond its role, and so long after its end nobody is about to make one.
    async fn remove_roles(&mut self, broker: &mut Exchange, now: Micros) -> Result<(), Trouble> {
        let before = now.minus(self.desk.passes.lifetime());
        let soonest = self.desk.soonest();
        let is_unused = |name: &&String| {
            let end = lasting_name_end(name);
            end.is_some_and(|end| end < before && soonest.is_none_or(|soonest| end < soonest))
        };
        let unused: Vec<_> = self.roles.iter().filter(is_unused).cloned().collect();
        for names in unused.chunks(self.desk.settings.batch) {
            let commands: Vec<_> = names
                .iter()
                .map(|name| Command::remove_role(name))
                .collect();
            for (name, answer) in names.iter().zip(&ask(&self.desk, broker, &commands).await?) {
                succeeded(answer)?;
                self.roles.remove(name);
            }
        }
        Ok(())
    }

    /// Makes clients for those who wait, as many as one message holds.
    async fn make(&mut self, broker: &mut Exchange) -> Result<(), Trouble> {
        let batch = Batch::gather(&self.desk, &self.roles);
        if batch.commands.is_empty() {
            return Ok(());
        }
        let answers = ask(&self.desk, broker, &batch.commands).await?;
        for (at, name) in batch.roles {
            if answers[at].is_done() {
                self.roles.insert(name);
            }
        }
        let mut refused = None;
        for Making {
            at,
            wanted,
            waiting,
        } in batch.clients
        {
            let is_there = answers[at].is_done();
            if is_there {
                self.desk.made(&wanted);
            } else {
                refused = answers[at].error.as_ref();
                // A role may have been removed by somebody else: all are made again when they are needed.
                self.roles.clear();
            }
            for told in waiting {
                let _gone = told.send(is_there);
            }
        }
        if let Some(error) = refused {
            tracing::warn!(target_name = %self.desk.target, error, "the broker does not make clients");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tries_again_soon_however_long_the_mirror_waits() {
        let mirror = config::mirror::Mirror {
            backoff_min_ms: 10_000,
            backoff_max_ms: 3_600_000,
            ..config::mirror::Mirror::default()
        };
        for mirror in [mirror, config::mirror::Mirror::default()] {
            let mut pauses = pauses(&mirror);
            for _ in 0..20 {
                assert!(pauses.pause(0.0) <= LONGEST_PAUSE);
            }
            assert_eq!(pauses.pause(0.0), LONGEST_PAUSE);
        }
    }
}
