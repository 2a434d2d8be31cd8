//! Where sessions get their clients of one target.
//!
//! Invariants: a client that the broker has is answered from memory; what waits is bounded, and so is what one caller has made for it, or one address where callers are not told apart; nobody waits longer than `dynsec.wait_ms`; while the broker
//! cannot be asked nobody waits.

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

/// Parts of all clients of which a caller gets one,
const SHARES: usize = 10;
/// and which is no less than this.
const LEAST_SHARE: usize = 200;

/// Clients that one caller may have; where callers are not told apart, one address.
fn share(settings: &config::dynsec::Dynsec, who: &Who) -> usize {
    match who {
        Who::Known(_) => (settings.max_clients / SHARES).max(LEAST_SHARE),
        Who::Open => settings.max_clients_per_address,
    }
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
        if held.expected() >= self.settings.max_clients {
            return Err(Without::Full);
        }
        if held.expected_beside(&wanted) >= wanted.share {
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
        let mut held = self.held();
        held.replace(clients);
        held.away_since = None;
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

    fn desk() -> Desk {
        let text = "dynsec = { max_clients = 2100, max_clients_per_address = 300 }\n[[mqtt.targets]]\nurl = \"mqtt://u:p@h\"";
        let config: Config = toml::from_str(text).unwrap();
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
        let desk = desk();
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
    fn a_share_is_no_less_than_a_shop_needs() {
        let caller = known("u1", &[]);
        let mut settings = desk().settings;
        for (max_clients, wanted) in [(10, 200), (2_000, 200), (10_000, 1_000)] {
            settings.max_clients = max_clients;
            assert_eq!(share(&settings, &caller), wanted);
        }
        assert_eq!(share(&settings, &Who::Open), 300, "of an address");
    }
}
