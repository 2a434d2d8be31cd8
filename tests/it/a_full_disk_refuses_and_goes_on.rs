//! The database's disk is full, or its quota used up: ingest says so, polls of what is in memory go on, and once there is room
//! everything goes on by itself. Nothing is corrupted, and every accepted change is in the log once.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::geteuid};

use crate::support::{
    broker::Broker,
    database::{DatabaseUnderTest, Kind},
    eventually, folder,
    gateway::{Program, Setup},
    load::{Load, Plan, orders_at},
    logbook,
    reckoning::Reckoning,
    terminal::{MODULES, Terminal, flow, pair, read_whole},
    witness::Witness,
};

const PATIENCE: Duration = Duration::from_mins(1);
/// Changes that are accepted before the disk is full, and after.
const CHANGES: u64 = 1_000;

/// What can be used up and given back.
enum Room {
    /// A file system of a few megabytes, as it is seen from outside of its name space.
    Disk(PathBuf),
    /// The same with the database's file: SQLite follows the way into the name space to its end, where nothing is.
    DiskOfSqlite(PathBuf),
    /// The largest file that the gateway may write, which bounds that of SQLite. Needs no privilege and no mount.
    FileSize { database: PathBuf },
}

impl Room {
    fn fill(&self, gateway: &Program) {
        match self {
            Self::Disk(folder) | Self::DiskOfSqlite(folder) => fill(&folder.join("filler")),
            Self::FileSize { database } => {
                let files = fs::read_dir(database.parent().unwrap()).unwrap();
                let sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
                limit_file_size(gateway, &sizes.max().unwrap().to_string());
            }
        }
    }

    fn make(&self, gateway: &Program) {
        match self {
            Self::Disk(folder) | Self::DiskOfSqlite(folder) => {
                fs::remove_file(folder.join("filler")).unwrap();
            }
            Self::FileSize { .. } => limit_file_size(gateway, "unlimited"),
        }
    }
}

/// Writes zeros until there is no room for one more.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [64 * 1024, 1] {
        let zeros = vec![0; size];
        while file.write(&zeros).is_ok_and(|written| written > 0) {}
    }
}

fn limit_file_size(gateway: &Program, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let done = Command::new("prlimit")
        .args(["--pid", &gateway.id().to_string(), &limit])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "prlimit: {said}");
}

/// A small file system for SQLite, in a name space of mounts that ends with the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_on_a_full_disk() {
    const MOUNT: &str = r#"mount -t tmpfs -o size=16m none "$0" && exec "$@""#;
    let mut database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let small = folder::fresh("small").display().to_string();
    let space = if geteuid().is_root() { "-m" } else { "-Urm" };
    database.config.url = format!("sqlite://{small}/changeover.db");
    let setup =
        Setup::new(&database, "gw-1").through(&["unshare", space, "sh", "-c", MOUNT, &small]);
    let outside = |gateway: &Program| {
        Room::DiskOfSqlite(PathBuf::from(format!("/proc/{}/root{small}", gateway.id())))
    };
    let story = Story::begin(setup, outside).await;
    story.tell(database, "no room left").await;
}

/// Without any mount: the kernel refuses what would make a file larger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_at_a_quota() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    // The signal that goes with such a refusal would end the process.
    let ignoring = ["sh", "-c", r#"trap "" XFSZ && exec "$0" "$@""#];
    let setup = Setup::new(&database, "gw-1").through(&ignoring);
    let file = PathBuf::from(database.config.url.strip_prefix("sqlite://").unwrap());
    let story = Story::begin(setup, |_| Room::FileSize { database: file }).await;
    // SQLite calls only a full disk full; everything else is a disk that fails.
    story.tell(database, "may not be stored").await;
}

/// The tables are on a small file system; the server's own journal is elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_on_a_full_disk() {
    let Some((database, small)) = DatabaseUnderTest::postgres_on_small_disk(48).await else {
        return;
    };
    let setup = Setup::new(&database, "gw-1");
    let story = Story::begin(setup, |_| Room::Disk(small)).await;
    story.tell(database, "no room left").await;
}

struct Story {
    gateway: Program,
    witness: Witness,
    terminals: Vec<Terminal>,
    load: Load,
    room: Room,
    _broker: Broker,
}

impl Story {
    async fn begin(setup: Setup, room: impl FnOnce(&Program) -> Room) -> Self {
        let seed = rand::random();
        println!("seed {seed}");
        let broker = Broker::mosquitto();
        let witness = Witness::before(broker.port()).await;
        let setup = setup
            .modules(MODULES)
            .target(&broker.gateway_url(witness.port()));
        let gateway = Program::start(&setup).await;
        let room = room(&gateway);
        let terminals = pair(&[&gateway.client.public], &broker.url(), seed);
        let load = Load::start(&Plan {
            ingest: vec![orders_at(&gateway.client.private)],
            producers: 4,
            changes: 10,
            batch: 10,
            pace: Duration::from_millis(50),
            seed,
        });
        Self {
            gateway,
            witness,
            terminals,
            load,
            room,
            _broker: broker,
        }
    }

    async fn tell(mut self, mut database: DatabaseUnderTest, why: &str) {
        flow(&self.terminals, PATIENCE).await;
        self.load.reaches(CHANGES).await;
        self.room.fill(&self.gateway);
        self.says(why).await;
        self.is_degraded(true).await;
        let before = read_whole(&self.gateway.client.public, "u1").await;
        assert!(!before.is_empty(), "polls go on from memory");
        self.look(&mut database);
        assert_sound(&database).await;
        self.room.make(&self.gateway);

        self.load.reaches(self.load.acknowledged() + CHANGES).await;
        self.is_degraded(false).await;
        flow(&self.terminals, PATIENCE).await;
        println!("refused: {:?}", self.load.refusals());
        let reckoning = Reckoning::of(&mut self.load, &self.witness, &self.terminals).await;
        assert!(reckoning.resent > 0, "nothing was refused");
        eventually("the cursor is written", PATIENCE, async || {
            self.look(&mut database);
            let cursor = database.text(logbook::MIRROR_CURSOR).await;
            (cursor == Some(reckoning.total.to_string())).then_some(())
        })
        .await;
        // The broker was never away, and a cursor that could not be written is no reason to publish again.
        reckoning
            .assert_exact(&database, &self.load, &self.terminals, 0)
            .await;
        assert_sound(&database).await;
        let (code, _) = self.gateway.terminate().await;
        assert_eq!(code, 0);
    }

    /// Has the database looked at as it is now: where nobody else can see it, as a copy, taken while the gateway stands still.
    fn look(&self, database: &mut DatabaseUnderTest) {
        let Room::DiskOfSqlite(disk) = &self.room else {
            return;
        };
        let copy = folder::fresh("copy");
        self.gateway.signal(Signal::SIGSTOP);
        for name in ["changeover.db", "changeover.db-wal"] {
            fs::copy(disk.join(name), copy.join(name)).unwrap();
        }
        self.gateway.signal(Signal::SIGCONT);
        database.config.url = format!("sqlite://{}/changeover.db", copy.display());
    }

    /// Waits until producers are told that their changes are not stored, and why.
    async fn says(&self, why: &str) {
        eventually("producers are told", PATIENCE, async || {
            let said = self.load.refusals();
            let times = said.iter().find(|(detail, _)| detail.contains(why));
            times.is_some_and(|(_, times)| *times > 10).then_some(())
        })
        .await;
    }

    /// Waits until `readyz` says whether the database is missed. It stays ready all the time.
    async fn is_degraded(&self, so: bool) {
        let (status, _) = eventually("readyz knows how the database is", PATIENCE, async || {
            let answer = self.gateway.client.ready().await;
            answer.filter(|(_, body)| body["degraded"] == so)
        })
        .await;
        assert_eq!(status, 200);
    }
}

/// Asks the database itself whether its files are whole.
async fn assert_sound(database: &DatabaseUnderTest) {
    if database.kind == Kind::Sqlite {
        let found = database.text("PRAGMA integrity_check").await;
        assert_eq!(found.as_deref(), Some("ok"));
        return;
    }
    for check in [HEAPS, TREES] {
        let found = database.text(check).await;
        assert_eq!(found.as_deref(), None, "{check}");
    }
}

/// What amcheck finds in the tables.
const HEAPS: &str = "SELECT relname || ': ' || msg FROM pg_class, verify_heapam(pg_class.oid) \
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";

/// The same of the indexes: a failed check is an error.
const TREES: &str = "SELECT 'never' FROM (SELECT bt_index_parent_check(indexrelid, true) AS sound FROM pg_index \
    JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam \
    WHERE amname = 'btree' AND relnamespace = 'public'::regnamespace) AS checked WHERE sound IS NULL";
