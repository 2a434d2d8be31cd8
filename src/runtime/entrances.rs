//! With what clients enter the brokers, and what the brokers ask.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::{
    StartError,
    tasks::{Rank, Tasks},
};
use crate::{
    config::{Config, credentials::Credentials, mqtt::Target},
    domain::SystemClock,
    http::private::Door,
    identity::{
        Identity,
        passes::{KeyKeeper, KeyRing, Passes, Rotation},
    },
    mirror::{self, Access, Desk, Hooks, Logins},
    store::Store,
};

#[cfg(feature = "embedded-broker")]
use crate::identity::passes::Doorkeeper;

/// The parts of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Entrances {
    config: Arc<Config>,
    identity: Arc<Identity>,
    ring: Arc<KeyRing>,
    /// Absent if no target takes signed ones.
    passes: Option<Arc<Passes>>,
    logins: Arc<Logins>,
    /// Where sessions get clients that are made on their broker, by target.
    desks: Arc<BTreeMap<String, Arc<Desk>>>,
}

impl Entrances {
    /// Those of the configured targets, for callers of this `identity`. Reads the passwords that they need.
    pub(super) fn new(config: &Arc<Config>, identity: Arc<Identity>) -> Self {
        let ring = Arc::<KeyRing>::default();
        let passes = config.signs_passes(identity.is_open()).then(|| {
            Arc::new(Passes::new(
                Arc::clone(&identity),
                Arc::clone(&ring),
                Arc::new(SystemClock),
                config.session.pass_lifetime(),
            ))
        });
        let logins = Arc::new(Logins::new(config));
        logins.refresh();
        let desks = passes.as_ref().map(|passes| desks(config, passes));
        Self {
            desks: Arc::new(desks.unwrap_or_default()),
            config: Arc::clone(config),
            identity,
            ring,
            passes,
            logins,
        }
    }

    /// The keys that sign passes, and sessions of the console.
    pub(super) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// Who may call.
    pub(super) const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The users of the configuration.
    pub(super) fn logins(&self) -> Arc<Logins> {
        Arc::clone(&self.logins)
    }

    /// What sessions answer.
    pub(super) fn credentials(&self) -> mirror::Credentials {
        let passes = self.passes.clone();
        let (logins, desks) = (self.logins(), Arc::clone(&self.desks));
        mirror::Credentials::new(&self.identity, passes, logins, desks)
    }

    /// Where sessions get clients of a target, if they are made on its broker.
    pub(super) fn desk(&self, target: &str) -> Option<&Arc<Desk>> {
        self.desks.get(target)
    }

    /// What the embedded broker asks; none = it lets everybody in.
    #[cfg(feature = "embedded-broker")]
    pub(super) fn embedded(&self) -> Option<Arc<dyn Doorkeeper>> {
        if self.identity.is_open() {
            return None;
        }
        let passes = Arc::clone(self.passes.as_ref()?);
        Some(Arc::new(Access::new(
            &self.config,
            passes,
            Target::is_embedded,
        )))
    }

    /// Where other brokers ask.
    pub(super) fn door(&self) -> Result<Door, StartError> {
        let settings = &self.config.broker_hooks;
        let secret = settings.read_secret().map_err(StartError::Hooks)?;
        let Some((secret, passes)) = secret.zip(self.passes.clone()) else {
            return Ok(Door::default());
        };
        let is_open = self.identity.is_open();
        let asks = |target: &Target| {
            let signed = self.config.credentials(target, is_open) == Credentials::Signed;
            signed && !target.is_embedded()
        };
        let access = Access::new(&self.config, passes, asks);
        let logins = Arc::clone(&self.logins);
        let prefix = &self.config.mqtt.client_id_prefix;
        let hooks = Hooks::new(access, logins, prefix, settings.others);
        let networks = settings.networks();
        let door = Door::new(
            &secret,
            networks,
            (&settings.vhost, &self.config.auth),
            Arc::new(hooks),
        );
        Ok(door)
    }

    /// Starts what keeps keys and passwords up to date. Returns the sign that there is a key, if one is needed.
    pub(super) fn start(
        &self,
        tasks: &mut Tasks,
        store: &Arc<dyn Store>,
    ) -> Option<watch::Receiver<bool>> {
        if !self.logins.is_empty() {
            let logins = Arc::clone(&self.logins);
            tasks.spawn(Rank::Reader, "logins", |stop| logins.run(stop));
        }
        let settings = &self.config.auth.passes;
        let (keeper, read) = KeyKeeper::new(
            Arc::clone(store),
            Arc::clone(&self.ring),
            Arc::new(SystemClock),
            Rotation::new(settings.rotate.get(), settings.keep.get()),
            by_the_system,
        );
        tasks.spawn(Rank::Reader, "pass keys", |stop| keeper.run(stop));
        // Sessions of a console can wait for a key; passes cannot.
        self.passes.is_some().then_some(read)
    }
}

fn desks(config: &Config, passes: &Arc<Passes>) -> BTreeMap<String, Arc<Desk>> {
    let targets = config.mqtt.effective_targets().into_iter();
    let kept = targets.filter(|target| target.credentials == Some(Credentials::Dynsec));
    let desk = |target: Target| {
        let desk = Desk::new(config, &target, Arc::clone(passes));
        (target.name, Arc::new(desk))
    };
    kept.map(desk).collect()
}

/// The randomness of the operating system.
fn by_the_system(bytes: &mut [u8]) -> bool {
    use rand::TryRng;
    rand::rngs::SysRng.try_fill_bytes(bytes).is_ok()
}
