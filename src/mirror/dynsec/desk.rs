//! Where sessions get their clients of one target.
//!
//! Invariants: a client that the broker has is answered from memory; what waits is bounded, and so are the clients and the places to wait of one caller, or of one address where callers are not told apart; nobody waits longer than `dynsec.wait_ms`;
//! while the broker cannot be asked nobody waits.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use super::{
    held::{Held, Waiting, Wanted, Without},
    limits::{places, share},
    rights::Rights,
};
use crate::{
    config::{self, Config, mqtt::Target},
    domain::{Audience, Micros},
    identity::{
        Who,
        passes::{Issued, Passes},
    },
    telemetry::metric,
};

/// The desk of a target.
pub struct Desk {
    pub(super) target: String,
    pub(super) passes: Arc<Passes>,
    pub(super) settings: config::dynsec::Dynsec,
    rights: Rights,
    held: Mutex<Held>,
    came: Notify,
}

impl Desk {
    /// The desk of this target, for those whom these passes know.
    pub fn new(config: &Config, target: &Target, passes: Arc<Passes>) -> Self {
        Self {
            target: target.name.clone(),
            passes,
            settings: config.dynsec.clone(),
            rights: Rights::of(config, target),
            held: Mutex::new(Held::new(Instant::now())),
            came: Notify::new(),
        }
    }

    /// With what a client enters the broker. None = it cannot, now.
    pub async fn issue(
        &self,
        (who, address): (&Who, Option<IpAddr>),
        audiences: &[Audience],
        client_id: &str,
    ) -> Option<Issued> {
        let end = self.passes.lasting_end(who, client_id)?;
        let roles = self.rights.roles(&self.passes, (who, audiences), end);
        let names: Vec<_> = roles.iter().map(|role| &*role.name).collect();
        let owner = self.passes.owner(who, address)?;
        let issued = self
            .passes
            .lasting((owner.mark(), client_id), end, &names)?;
        let wanted = Wanted {
            issued: issued.clone(),
            client_id: client_id.to_owned(),
            owner,
            share: share(&self.settings, who),
            roles,
            end,
        };
        match self.make(wanted).await {
            Ok(()) => Some(issued),
            Err(without) => {
                let labels = [
                    ("target", self.target.clone()),
                    ("why", without.as_str().to_owned()),
                ];
                metrics::counter!(metric::DYNSEC_WITHOUT, &labels).increment(1);
                None
            }
        }
    }

    /// Sees to it that the broker has a client.
    async fn make(&self, wanted: Wanted) -> Result<(), Without> {
        let Some(hears) = self.ask(wanted)? else {
            return Ok(());
        };
        match timeout(self.settings.wait(), hears).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Without::Refused),
            Ok(Err(_clerk_gave_up)) => Err(Without::Away),
            Err(_late) => Err(Without::Late),
        }
    }

    /// None = it has it.
    fn ask(&self, wanted: Wanted) -> Result<Option<oneshot::Receiver<bool>>, Without> {
        let mut held = self.held();
        if held.has(&wanted.issued.username) {
            return Ok(None);
        }
        // A connection that has just ended may be there again in a moment.
        let away = held.away_since;
        if away.is_some_and(|since| since.elapsed() > self.settings.wait()) {
            return Err(Without::Away);
        }
        if !held.had(&wanted.issued.username) {
            if held.expected() >= self.settings.max_clients {
                return Err(Without::Full);
            }
            if held.expected_beside(&wanted) >= wanted.share {
                return Err(Without::Share);
            }
        }
        if held.waiting_of(&wanted.owner) >= places(&self.settings, wanted.share) {
            return Err(Without::Share);
        }
        let (told, hears) = oneshot::channel();
        held.wait(Waiting { wanted, told }, self.settings.max_waiting)?;
        drop(held);
        self.came.notify_one();
        Ok(Some(hears))
    }

    /// Waits until somebody asks.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        self.held().is_waited_for()
    }

    /// The next who waits.
    pub(super) fn next(&self) -> Option<Waiting> {
        self.held().next()
    }

    /// The broker has this client.
    pub(super) fn made(&self, wanted: &Wanted) {
        self.held().made(wanted);
    }

    /// The broker has it no longer.
    pub(super) fn removed(&self, username: &str) {
        self.held().removed(username);
    }

    /// Clients whose end has come, at most so many.
    pub(super) fn ended(&self, now: Micros, most: usize) -> Vec<String> {
        self.held().ended(now, most)
    }

    /// When the next client ends.
    pub(super) fn soonest(&self) -> Option<Micros> {
        self.held().soonest()
    }

    /// The broker can be asked, and has these.
    pub(super) fn open(&self, clients: HashMap<String, Micros>) {
        self.held().replace(clients);
    }

    /// The broker cannot be asked, and may forget what it has.
    pub(super) fn close(&self) {
        self.held().forget(Instant::now());
    }

    /// Tells how it stands.
    pub(super) fn report(&self) {
        let (count, is_open) = {
            let held = self.held();
            (held.count(), held.away_since.is_none())
        };
        let labels = [("target", self.target.clone())];
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!(metric::DYNSEC_CLIENTS, &labels).set(count);
        metrics::gauge!(metric::DYNSEC_READY, &labels).set(u8::from(is_open));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{known, open_passes};

    fn desk_of(bounds: &str) -> Desk {
        let text = format!(
            "dynsec = {{ max_clients = 2100, {bounds} }}\n[[mqtt.targets]]\nurl = \"mqtt://u:p@h\""
        );
        let config: Config = toml::from_str(&text).unwrap();
        let desk = Desk::new(&config, &config.mqtt.targets[0], open_passes());
        desk.open(HashMap::new());
        desk
    }

    /// What is made for a caller who is this client.
    fn wanted(desk: &Desk, (caller, client): (&str, usize)) -> Wanted {
        let who = known(caller, &[]);
        let client_id = client.to_string();
        let owner = desk.passes.owner(&who, None).unwrap();
        let end = Micros::new(1_000_000);
        let issued = desk.passes.lasting((owner.mark(), &client_id), end, &[]);
        Wanted {
            issued: issued.unwrap(),
            client_id,
            owner,
            share: share(&desk.settings, &who),
            roles: Vec::new(),
            end,
        }
    }

    #[test]
    fn a_caller_has_its_share_and_leaves_the_rest_to_others() {
        let desk = desk_of("max_waiting = 1000");
        // Those that are made count, and those that wait for it.
        for n in 0..200 {
            desk.made(&wanted(&desk, ("u1", n)));
        }
        let mut waits = Vec::new();
        let mut ask = |caller: &str, client: usize| {
            let asked = desk.ask(wanted(&desk, (caller, client)))?;
            let has_to_wait = asked.is_some();
            waits.extend(asked);
            Ok(has_to_wait)
        };
        for n in 200..210 {
            assert_eq!(ask("u1", n), Ok(true), "{n}");
        }
        let refused = ask("u1", 210);
        assert_eq!(refused, Err(Without::Share), "it has all that it may");
        assert_eq!(ask("u1", 7), Ok(false), "it has this one");
        assert_eq!(ask("u2", 0), Ok(true), "others have theirs");
        desk.removed(&wanted(&desk, ("u1", 7)).issued.username);
        let instead = ask("u1", 210);
        assert_eq!(instead, Ok(true), "what it gave up is its own again");
    }

    #[test]
    fn an_owner_takes_its_part_of_the_places_to_wait() {
        // 210 of 2,100 clients, so a tenth of the places.
        let desk = desk_of("max_waiting = 100");
        let ask = |caller: &str, client| desk.ask(wanted(&desk, (caller, client)));
        // Each session takes a place, though it waits for what another waits for.
        let mut waits: Vec<_> = (0..10).map(|n| ask("u1", n / 2).unwrap()).collect();
        for client in [0, 5] {
            assert_eq!(ask("u1", client).unwrap_err(), Without::Share, "{client}");
        }
        for n in 2..=10 {
            let other = format!("u{n}");
            waits.extend((0..10).map(|n| ask(&other, n).unwrap()));
        }
        assert_eq!(ask("u11", 0).unwrap_err(), Without::Crowded);
        // Whoever has gone on without gives its place back.
        drop(waits.swap_remove(0));
        assert!(ask("u1", 5).is_ok(), "its place is kept");
    }

    #[test]
    fn what_an_owner_has_it_may_ask_for_while_the_broker_is_gone() {
        // Ten callers have all 2,100.
        let desk = desk_of("max_waiting = 1000");
        let all: Vec<_> = (0..2_100)
            .map(|n| wanted(&desk, (&format!("u{}", n % 10), n)))
            .collect();
        let names = all.iter().map(|one| one.issued.username.clone());
        let names: HashMap<_, _> = names.map(|name| (name, Micros::new(10))).collect();
        desk.open(names.clone());
        for _ in 0..2 {
            desk.close();
            let asked = desk.ask(wanted(&desk, ("u7", 7)));
            let mut hears = asked.unwrap().expect("it may have been lost");
            let new = desk.ask(wanted(&desk, ("u7", 2_107))).unwrap_err();
            assert!(matches!(new, Without::Full | Without::Share), "{new:?}");
            // It waits until the broker tells that it is there.
            desk.open(names.clone());
            assert!(desk.next().is_none(), "it is made anew");
            assert!(hears.try_recv().unwrap());
        }
        // What is lost makes room for others from then on.
        desk.close();
        let again = desk.ask(wanted(&desk, ("u7", 7))).unwrap();
        desk.open(HashMap::new());
        assert!(again.is_some() && desk.next().is_some(), "it is not made");
        assert!(desk.ask(wanted(&desk, ("u7", 2_107))).unwrap().is_some());
    }
}
