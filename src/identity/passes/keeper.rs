//! Keeps the ring up with the database, and makes the next key before it is needed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::KeyRing;
use crate::{
    domain::{Clock, Micros},
    store::{self, SigningKey, SigningKeyAdded, SigningKeys, SigningKeysRead},
};

/// When keys are made, and how long they are kept.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// How long a key signs.
    pub every: Duration,
    /// How long what it has signed is believed after that.
    pub kept: Duration,
    /// How often the keys are read.
    pub refresh: Duration,
}

/// The longest time between the making of a key and its first signature.
const LONGEST_AHEAD: Duration = Duration::from_mins(10);

/// What a key is made of: its id and its secret.
const RANDOM_BYTES: usize = 8 + 32;

/// Fills what it is given by chance that nobody can foresee.
pub type Chance = fn(&mut [u8]) -> bool;

impl Rotation {
    /// Keys that sign for so long, and are believed for so long after that.
    pub const fn new(every: Duration, kept: Duration) -> Self {
        Self {
            every,
            kept,
            refresh: Duration::from_secs(5),
        }
    }

    /// How long before its first signature a key is made: several times longer than every replica takes to read it.
    fn ahead(self) -> Duration {
        (self.every / 2).min(LONGEST_AHEAD)
    }
}

/// The task that reads and makes keys.
pub struct KeyKeeper<S: ?Sized> {
    store: Arc<S>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    rotation: Rotation,
    chance: Chance,
    read: watch::Sender<bool>,
}

impl<S: SigningKeys + Send + Sync + ?Sized> KeyKeeper<S> {
    /// The keeper, and the sign that the keys have been read and there is one that signs.
    pub fn new(
        store: Arc<S>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        rotation: Rotation,
        chance: Chance,
    ) -> (Self, watch::Receiver<bool>) {
        let (read, sign) = watch::channel(false);
        let keeper = Self {
            store,
            ring,
            clock,
            rotation,
            chance,
            read,
        };
        (keeper, sign)
    }

    /// Reads until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut failing_since = None;
        while !stop.is_cancelled() {
            match (self.look().await, failing_since) {
                (Err(error), None) => {
                    failing_since = Some(Instant::now());
                    tracing::warn!(%error, "signing keys cannot be read, the known ones stay in force");
                }
                (Ok(()), Some(_)) => {
                    failing_since = None;
                    tracing::info!("signing keys are read again");
                }
                _ => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(self.rotation.refresh) => {}
            }
        }
    }

    /// Reads the keys once, and makes one if it is time.
    pub async fn look(&self) -> store::Result<()> {
        let read = self.adopt().await?;
        if let Some(signs_from) = self.due(&read)
            && let Some(key) = self.made(signs_from)
        {
            let added = SigningKeyAdded {
                key: &key,
                after: read.keys.last(),
                before_retire_at: signs_from.plus(self.rotation.kept),
            };
            if self.store.add_signing_key(&added).await? {
                tracing::info!(key = %key.id, "a key of MQTT passes was made");
            }
            self.adopt().await?;
        }
        let has_retired = |key: &SigningKey| key.retires_at.is_some_and(|at| at < read.now);
        if read.keys.iter().any(has_retired) {
            self.store.forget_signing_keys().await?;
        }
        self.read.send_replace(true);
        Ok(())
    }

    async fn adopt(&self) -> store::Result<SigningKeysRead> {
        let asked = self.clock.now();
        let read = self.store.signing_keys().await?;
        self.ring.adopt(&read, (asked, self.clock.now()));
        Ok(read)
    }

    /// From when on the next key is to sign, if it is time to make it. The first one signs at once.
    fn due(&self, read: &SigningKeysRead) -> Option<Micros> {
        let Some(newest) = read.keys.last() else {
            return Some(read.now);
        };
        let next = newest.signs_from.plus(self.rotation.every);
        let soonest = read.now.plus(self.rotation.ahead());
        (next <= soonest).then_some(next.max(soonest))
    }

    fn made(&self, signs_from: Micros) -> Option<SigningKey> {
        let mut random = [0; RANDOM_BYTES];
        if !(self.chance)(&mut random) {
            tracing::error!("the system gives no randomness: no key of MQTT passes is made");
            return None;
        }
        let (id, secret) = random.split_first_chunk()?;
        Some(SigningKey {
            id: format!("{:016x}", u64::from_be_bytes(*id)),
            secret: secret.to_vec(),
            signs_from,
            retires_at: None,
        })
    }
}
