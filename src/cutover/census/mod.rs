//! The census: who was last seen how. Requests and connections show clients to this replica, which remembers them within its bounds; a keeper
//! writes what changed, so that every replica knows, also after a restart.
//!
//! Invariants: a poll that shows nothing new costs a lock that nobody waits for, no allocation and no SQL; whatever the number of clients,
//! memory stays within `census.clients` and the sketches above it; nothing here is waited for by a request. What a client is counted as, and
//! when it has fallen back, says `docs/adr/0027`.

mod about;
mod clients;
mod counts;
mod decay;
mod exchange;
mod keeper;
mod presence;
mod record;
mod seen;
mod sketch;
mod slices;
mod table;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use self::{
    about::{About, Agents},
    clients::Common,
    seen::{Moment, Rules, Tenths},
    slices::PER_WINDOW,
};
pub use self::{
    clients::Clients,
    counts::{Count, Counted, Counts},
    decay::Decay,
    keeper::CensusKeeper,
    presence::Presence,
};
use crate::{
    config,
    domain::{Client, Micros, ModuleMap, ModuleName},
};

/// The census of this replica.
#[derive(Debug)]
pub struct Census {
    settings: config::census::Census,
    common: Arc<Common>,
    modules: ModuleMap<Arc<Clients>>,
    presence: Presence,
    counts: Counts,
    decay: Decay,
}

impl Census {
    /// A census of `modules`, in which nobody was seen yet. `topic` says the topic of a module's channels on this process's broker, without the
    /// audience.
    pub fn new(
        settings: &config::census::Census,
        modules: &[ModuleName],
        topic: impl Fn(&ModuleName) -> String,
        (now, time): (Instant, Micros),
    ) -> Self {
        let common = Arc::new(Common {
            began: now,
            rules: Rules {
                grace: tenths(settings.grace.get()),
                hold: tenths(settings.push_holds.get()),
            },
            resolution: tenths(settings.resolution.get()),
            most: if settings.enabled {
                settings.clients
            } else {
                0
            },
            held: AtomicUsize::new(0),
            agents: Agents::of(settings.agent_bytes),
            slice: AtomicU32::new(0),
            addresses: settings.addresses,
            hasher: RandomState::default(),
        });
        let of = |module: &ModuleName| {
            let clients = Clients::new(module.clone(), Arc::clone(&common));
            (module.clone(), Arc::new(clients))
        };
        let modules: ModuleMap<_> = modules.iter().map(of).collect();
        let presence = Presence::new(modules.values().cloned(), topic, settings.clients);
        let census = Self {
            settings: settings.clone(),
            common,
            modules,
            presence,
            counts: Counts::default(),
            decay: Decay::new(&settings.decay),
        };
        census.begin_slice(time);
        census
    }

    /// A census that remembers nobody.
    pub fn nobodys() -> Self {
        let off = config::census::Census {
            enabled: false,
            ..config::census::Census::default()
        };
        let topic = |_: &ModuleName| String::new();
        Self::new(&off, &[], topic, (Instant::now(), Micros::default()))
    }

    /// The clients of a module; `None` if no configuration names it, or there is no census.
    pub fn clients(&self, module: &ModuleName) -> Option<&Arc<Clients>> {
        self.modules.get(module).filter(|_| self.settings.enabled)
    }

    /// Who is connected to this process's broker.
    pub const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// How many clients there are, as last counted.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How polls of clients on push grow rare.
    pub const fn decay(&self) -> &Decay {
        &self.decay
    }

    /// How it is configured.
    pub const fn settings(&self) -> &config::census::Census {
        &self.settings
    }

    /// How many clients of modules are remembered.
    pub fn remembered(&self) -> usize {
        self.common.held.load(Relaxed)
    }

    /// Shows those whom this replica remembers of a module, one after the other.
    pub fn each(&self, module: &ModuleName, mut show: impl FnMut(&Client<'_>)) {
        let Some(clients) = self.clients(module) else {
            return;
        };
        clients.each(Moment::NEVER, |id, about: &About| {
            let audience = about.audience(id).map(crate::domain::Audience::stored);
            show(&Client {
                id,
                audiences: audience.as_slice(),
                agent: about.agent.as_bytes(),
                address: about.address,
            });
        });
    }

    /// Whether this replica remembers a client of a module.
    pub fn remembers(&self, module: &ModuleName, id: &str) -> bool {
        self.clients(module)
            .is_some_and(|clients| clients.remembers(id))
    }

    /// How long a slice of time is.
    fn slice_length(&self) -> Duration {
        (self.settings.window.get() / PER_WINDOW).max(Duration::from_secs(1))
    }

    /// When a slice began.
    fn slice_begin(&self, slice: u32) -> Micros {
        Micros::new(0).plus(self.slice_length().saturating_mul(slice))
    }

    /// Goes on to the slice of this time. Never back: a clock that is set back counts on in the last one.
    fn begin_slice(&self, time: Micros) {
        let passed = time.since(Micros::new(0)).as_micros() / self.slice_length().as_micros();
        let slice = u32::try_from(passed).unwrap_or(u32::MAX).max(1);
        if slice > self.common.slice() {
            for clients in self.modules.values() {
                clients.begin(slice);
            }
            self.common.slice.store(slice, Relaxed);
        }
    }
}

fn tenths(span: Duration) -> Tenths {
    u32::try_from(span.as_millis() / 100).unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests;
