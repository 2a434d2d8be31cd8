//! Twelve modules and three replicas: one that joins gets its share from those that live, what a dead one held is taken over
//! within the lease, one that ends hands over at once, and in between nothing moves. No module is without a holder for longer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Program, Setup},
};

const MODULES: usize = 12;
const SOON: Duration = Duration::from_mins(1);
/// The defaults of `sequencer.lease_ms` and `sequencer.renew_ms`: a vacant lease is tried four times per renewal, and
/// what is beyond a fair share is left to others for one more try.
const LEASE: Duration = Duration::from_millis(1_500);
const TRIES: Duration = Duration::from_millis(200);
/// For a machine that does other things as well.
const SLACK: Duration = Duration::from_secs(4);
/// What is seen to be at rest for so long is at rest: several renewals.
const REST: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await {
        share(Arc::new(database)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mariadb() {
    if let Some(database) = DatabaseUnderTest::fresh(Kind::MariaDb).await {
        share(Arc::new(database)).await;
    }
}

fn module(number: usize) -> String {
    format!("m{number:02}")
}

fn setup(database: &DatabaseUnderTest, name: &str) -> Setup {
    let modules: Vec<_> = (0..MODULES)
        .map(|number| format!("[[modules]]\nname = \"{}\"\n", module(number)))
        .collect();
    Setup::new(database, name)
        .modules(&modules.concat())
        .among_others()
        .set("sequencer.even_out_after_ms", 500)
}

async fn share(database: Arc<DatabaseUnderTest>) {
    let mut one = Program::start(&setup(&database, "gw-1")).await;
    even(&database, &["gw-1"]).await;
    let vacancies = Vacancies::watch(Arc::clone(&database));

    let began = Instant::now();
    let mut two = Program::start(&setup(&database, "gw-2")).await;
    let mut three = Program::start(&setup(&database, "gw-3")).await;
    even(&database, &["gw-1", "gw-2", "gw-3"]).await;
    println!(
        "two joined: even after {:?}, the longest vacancy was {:?}",
        began.elapsed(),
        vacancies.longest()
    );
    rests(&database).await;
    numbers_everything(&one, 1).await;
    assert!(vacancies.longest() < LEASE, "{:?}", vacancies.longest());
    let given = moments(&one, "this module is handed over");
    assert_eq!(given.len(), 8, "as many as were needed: {}", one.log());
    let mut taken = moments(&two, "this replica numbers and mirrors the module now");
    taken.extend(moments(
        &three,
        "this replica numbers and mirrors the module now",
    ));
    let pause = |(module, at): (&String, &SystemTime)| {
        // The successor may be a little faster to write it down.
        taken[module].duration_since(*at).unwrap_or_default()
    };
    let longest = given.iter().map(pause).max().unwrap();
    println!("between two holders a module was with nobody for {longest:?} at most");
    assert!(longest < TRIES + SLACK, "{longest:?}");

    let listed = one.client.get("/admin/v1/instances").await.json();
    let listed = listed["instances"].as_array().unwrap().iter();
    let held: Vec<_> = listed
        .map(|i| (i["instance"].as_str(), i["modules"].as_u64()))
        .collect();
    let four = ["gw-1", "gw-2", "gw-3"].map(|name| (Some(name), Some(4)));
    assert_eq!(held, four);

    let killed = Instant::now();
    three.kill();
    let taken = eventually("the dead one holds nothing", SOON, async || {
        let held = holders(&database).await;
        (!held.contains_key("gw-3") && !held.contains_key("")).then(|| killed.elapsed())
    })
    .await;
    println!("{:?}: taken over {taken:?} after SIGKILL", database.kind);
    assert!(taken < LEASE + TRIES + SLACK, "{taken:?}");
    even(&database, &["gw-1", "gw-2"]).await;
    numbers_everything(&one, 2).await;
    let longest = vacancies.longest();
    println!("the longest time between a lease's end and the next holder was {longest:?}");
    assert!(longest < TRIES + SLACK, "{longest:?}");

    three.restart().await;
    even(&database, &["gw-1", "gw-2", "gw-3"]).await;
    rests(&database).await;
    vacancies.forget();
    let (code, took) = two.terminate().await;
    assert_eq!(code, 0, "{}", two.log());
    let held = holders(&database).await;
    println!("ended in {took:?}, then {held:?}");
    assert!(!held.contains_key("gw-2"), "handed over before its end");
    even(&database, &["gw-1", "gw-3"]).await;
    numbers_everything(&one, 3).await;
    let longest = vacancies.longest();
    println!("the longest vacancy of a clean end was {longest:?}");
    assert!(longest < LEASE, "not by expiry: {longest:?}");

    let metrics = one.client.get("/metrics").await.text;
    assert!(metrics.contains("changeover_instances 2"), "{metrics}");
    assert!(metrics.contains("changeover_leases 6"), "{metrics}");
    for program in [&mut one, &mut three] {
        assert_eq!(program.terminate().await.0, 0, "{}", program.log());
    }
    let left = "SELECT CAST(count(*) AS CHAR(9)) FROM instance";
    let left = database.text(left).await.unwrap();
    assert_eq!(left.trim(), "0", "who ends in order leaves nothing");
}

/// When a replica has said this of each module.
fn moments(replica: &Program, message: &str) -> HashMap<String, SystemTime> {
    let log = replica.log();
    let lines = log.lines();
    let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let said = lines.filter(|line| line["message"] == message);
    said.map(|line| {
        let at = line["timestamp"].as_str().unwrap();
        let at = humantime::parse_rfc3339(at).unwrap();
        (line["module"].as_str().unwrap().to_owned(), at)
    })
    .collect()
}

/// How many modules each holds, a vacant one by nobody.
async fn holders(database: &DatabaseUnderTest) -> BTreeMap<String, usize> {
    let heads = heads(&*database.open().await).await;
    let mut counts = BTreeMap::new();
    for (_, holder) in heads {
        *counts.entry(holder.unwrap_or_default()).or_default() += 1;
    }
    counts
}

async fn heads(store: &dyn changeover::store::Store) -> Vec<(String, Option<String>)> {
    let heads = store.heads(changeover::telemetry::Purpose::Tail).await;
    let heads = heads.unwrap().into_iter();
    heads
        .map(|head| {
            let holder = head.lease_holder.filter(|_| !head.lease_vacant);
            (head.module.to_string(), holder)
        })
        .collect()
}

/// Waits until these hold all modules, in equal shares, and each of them says so itself.
async fn even(database: &DatabaseUnderTest, replicas: &[&str]) {
    let share = MODULES / replicas.len();
    let expected: BTreeMap<_, _> = replicas
        .iter()
        .map(|name| ((*name).to_owned(), share))
        .collect();
    let store = database.open().await;
    eventually("the shares are even", SOON, async || {
        let alive = store.instances().await.unwrap().into_iter();
        let alive = alive.filter(|one| one.alive && one.wants.is_empty());
        let told: BTreeMap<_, _> = alive.map(|one| (one.name, one.holds)).collect();
        (told == expected && holders(database).await == expected).then_some(())
    })
    .await;
}

/// Asserts that no lease is taken or given for a while.
async fn rests(database: &DatabaseUnderTest) {
    let tokens = "SELECT CAST(sum(lease_token) AS CHAR(20)) FROM module_head";
    let before = database.text(tokens).await;
    tokio::time::sleep(REST).await;
    assert_eq!(database.text(tokens).await, before, "something moved");
}

/// Sends a change to every module, and waits until it has its number.
async fn numbers_everything(replica: &Program, position: u64) {
    for number in 0..MODULES {
        let path = format!("/v1/modules/{}/changes", module(number));
        let change = json!({"key": "k", "value": position});
        assert_eq!(replica.client.post(&path, &change).await.status, 202);
    }
    eventually("every module has numbered", SOON, async || {
        let answer = replica.client.get("/admin/v1/modules").await.json();
        let modules = answer["modules"].as_array().unwrap().clone();
        assert_eq!(modules.len(), MODULES);
        let numbered = |m: &serde_json::Value| m["head"].as_u64().unwrap() == position;
        modules.iter().all(numbered).then_some(())
    })
    .await;
}

/// How long modules were without a holder whose lease runs.
struct Vacancies {
    seen: Arc<Mutex<Duration>>,
    task: JoinHandle<()>,
}

impl Vacancies {
    fn watch(database: Arc<DatabaseUnderTest>) -> Self {
        let seen = Arc::<Mutex<Duration>>::default();
        let told = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let store = database.open().await;
            let mut since = HashMap::new();
            loop {
                let now = Instant::now();
                for (module, holder) in heads(&*store).await {
                    if holder.is_some() {
                        since.remove(&module);
                        continue;
                    }
                    let vacant = *since.entry(module).or_insert(now);
                    let mut longest = told.lock().unwrap();
                    *longest = longest.max(now.duration_since(vacant));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { seen, task }
    }

    fn longest(&self) -> Duration {
        assert!(!self.task.is_finished(), "the watch broke down");
        *self.seen.lock().unwrap()
    }

    fn forget(&self) {
        *self.seen.lock().unwrap() = Duration::ZERO;
    }
}

impl Drop for Vacancies {
    fn drop(&mut self) {
        self.task.abort();
    }
}
