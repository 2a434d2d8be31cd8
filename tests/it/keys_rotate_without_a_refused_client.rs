//! Two replicas make and read the keys of MQTT passes on one database: what one of them signs, the other believes, at every moment of a
//! rotation, and while the database is away.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use changeover::{
    domain::{Audience, SystemClock},
    identity::{
        Identity,
        passes::{KeyKeeper, KeyRing, Passes, Rotation},
    },
    store::SigningKeys,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::support::{database::DatabaseUnderTest, passes::caller, within};

crate::on_each_database!(what_one_signs_the_other_believes);

const PATIENCE: Duration = Duration::from_mins(1);

/// For twice as long as a key signs.
const LIFETIME: Duration = Duration::from_secs(6);

/// Times in passes are whole seconds, and a machine that is busy is late.
const LATE: Duration = Duration::from_secs(2);

struct Replica {
    passes: Passes,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Replica {
    async fn start(database: &DatabaseUnderTest) -> Self {
        let store = database.store().await;
        let ring = Arc::<KeyRing>::default();
        let rotation = Rotation {
            every: Duration::from_secs(3),
            kept: LIFETIME,
            refresh: Duration::from_millis(100),
        };
        let clock = Arc::new(SystemClock);
        let keys = Arc::clone(&ring);
        let (keeper, mut read) = KeyKeeper::new(
            store,
            keys,
            clock.clone(),
            rotation,
            |bytes: &mut [u8]| {
                bytes.fill_with(rand::random);
                true
            },
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(keeper.run(stop.clone()));
        within("a key", PATIENCE, read.wait_for(|read| *read))
            .await
            .unwrap();
        let identity = Arc::new(Identity::of(["jwt".into()], HashMap::new()));
        Self {
            passes: Passes::new(identity, ring, clock, LIFETIME),
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn what_one_signs_the_other_believes(database: DatabaseUnderTest) {
    let first = Replica::start(&database).await;
    let replicas = [first, Replica::start(&database).await];
    let own = [Audience::new("u1", 64).unwrap()];
    let who = caller("u1");
    let mut names = BTreeSet::new();
    let mut held = Vec::new();
    let began = Instant::now();
    // The first key signs for three seconds, each of the next as long.
    while names.len() < 4 {
        assert!(began.elapsed() < PATIENCE, "keys change: {names:?}");
        for (signing, believing) in [(0, 1), (1, 0)] {
            let issued = replicas[signing].passes.issue(&who, &own, "one").unwrap();
            let password = issued.password.as_bytes();
            let entered = replicas[believing]
                .passes
                .enter("one", &issued.username, password);
            let after = began.elapsed();
            assert!(
                entered.is_ok(),
                "what {signing} signed {believing} does not believe after {after:?}: {entered:?}"
            );
            if names.insert(issued.username.clone()) {
                held.push((Instant::now(), issued));
            }
        }
        // A pass is believed to its end, whichever key signs by then.
        for (at, issued) in &held {
            let password = issued.password.as_bytes();
            let entered = replicas[1].passes.enter("one", &issued.username, password);
            let is_young = at.elapsed() + LATE < LIFETIME;
            assert!(
                entered.is_ok() || !is_young,
                "a pass is refused {:?} after it was made: {entered:?}",
                at.elapsed()
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    old_ones_go(&*database.store().await).await;
    for replica in replicas {
        replica.stop().await;
    }
}

/// And never stand two at once that sign.
async fn old_ones_go(store: &dyn SigningKeys) {
    let first = store.signing_keys().await.unwrap().keys[0].id.clone();
    let gone = async {
        loop {
            let keys = store.signing_keys().await.unwrap().keys;
            let unretired = keys.iter().filter(|key| key.retires_at.is_none());
            assert_eq!(unretired.count(), 1, "{keys:?}");
            if keys.iter().all(|key| key.id != first) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the first key is forgotten", PATIENCE, gone).await;
}
