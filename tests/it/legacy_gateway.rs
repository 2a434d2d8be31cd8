//! The public router over a log in memory, for what does not depend on a database: bodies,
//! refusals, and which source answers. The same reads run on real databases elsewhere.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use changeover::mirror::{AsyncApi, Bound};
use changeover::{
    config::{self, modules::Module, tail},
    cutover::{Adviser, Census, Flags, Routes},
    domain::{
        Audience, Change, Clock, Epoch, JsonText, Limits, Micros, ModuleName, Op, Position, Stage,
    },
    http::public::{Public, PublicState, service},
    identity::{Identity, pace::Pace},
    log::{Admission, Reader, Refresh, Tail, Waiting},
    poll::{self, Contract, Route, Site, Sources},
    store::{
        ChangeLog, ChannelRead, Closed, Error, Head, LogPage, Result, StageRecord, StateItem,
        StateTicks, TickBounds,
    },
    telemetry::Purpose,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

/// What the gateway's clock says: 2026-01-02T03:04:05.678Z.
pub const NOW: Micros = Micros::new(1_767_323_045_678_901);

pub struct StoppedClock(AtomicI64);

impl StoppedClock {
    /// Sets it to a time as RFC 3339.
    pub fn set(&self, text: &str) {
        let time = Micros::from(humantime::parse_rfc3339(text).unwrap());
        self.0.store(time.get(), SeqCst);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(SeqCst))
    }
}

#[derive(Default)]
struct Rows {
    epoch: u32,
    head: u64,
    retained_from: u64,
    changes: Vec<Arc<Change>>,
    state: BTreeMap<(Audience, Box<str>), StateItem>,
    times: BTreeMap<Position, Micros>,
}

/// A change log that holds one module, counts its reads and can be switched off.
pub struct MemoryLog {
    module: ModuleName,
    rows: Mutex<Rows>,
    pub reads: AtomicUsize,
    pub down: AtomicBool,
    /// When the next change is numbered, in microseconds.
    pub time: AtomicI64,
}

impl MemoryLog {
    fn new(module: ModuleName) -> Self {
        let rows = Rows {
            epoch: 1,
            retained_from: 1,
            ..Rows::default()
        };
        Self {
            module,
            rows: Mutex::new(rows),
            reads: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            time: AtomicI64::new(1_700_000_000_500_000),
        }
    }

    fn ask(&self) -> Result<()> {
        self.reads.fetch_add(1, SeqCst);
        if self.down.load(SeqCst) {
            let why = "switched off".to_owned();
            return Err(Error::Unavailable { why, source: None });
        }
        Ok(())
    }

    fn head(&self) -> Head {
        let rows = self.rows.lock().unwrap();
        Head {
            module: self.module.clone(),
            epoch: Epoch::new(rows.epoch),
            head: Position::new(rows.head),
            retained_from: Position::new(rows.retained_from),
            stateless_from: None,
            compacted_through: Position::ZERO,
            sequenced_through: NOW,
            lease_holder: None,
            lease_vacant: true,
        }
    }

    /// Numbers a change.
    pub fn commit(&self, audience: &str, key: &str, op: Op, value: &str) -> Arc<Change> {
        let mut rows = self.rows.lock().unwrap();
        let position = rows.head + 1;
        let audience = Audience::stored(audience);
        let mut before = rows.changes.iter().rev();
        let previous = before.find(|change| change.audience == audience);
        let change = Arc::new(Change {
            epoch: Epoch::new(rows.epoch),
            position: Position::new(position),
            previous: previous.map_or(Position::ZERO, |change| change.position),
            audience: audience.clone(),
            key: key.into(),
            op,
            value: JsonText::parse(value).unwrap(),
            change_id: position
                .is_multiple_of(2)
                .then(|| format!("id-{position}").into()),
            occurred_at: Micros::new(1_700_000_000_000_999),
            sequenced_at: Micros::new(self.time.load(SeqCst)),
        });
        let item = StateItem {
            audience: audience.clone(),
            key: key.into(),
            op,
            position: change.position,
            value: change.value.clone(),
        };
        rows.head = position;
        rows.changes.push(Arc::clone(&change));
        rows.times.insert(change.position, change.sequenced_at);
        rows.state.insert((audience, key.into()), item);
        change
    }

    /// Retention: forgets all before `position`.
    pub fn prune(&self, position: u64) {
        let mut rows = self.rows.lock().unwrap();
        rows.retained_from = rows.retained_from.max(position);
        rows.changes
            .retain(|change| change.position.get() >= position);
    }

    /// What happens after a restore.
    pub fn bump_epoch(&self) {
        let mut rows = self.rows.lock().unwrap();
        rows.epoch += 1;
        rows.head = (rows.head / 1_000_000 + 1) * 1_000_000;
        rows.retained_from = rows.head + 1;
        rows.changes.clear();
    }
}

fn is_wanted(read: &ChannelRead<'_>, audience: &Audience, position: Position) -> bool {
    read.audiences.contains(audience) && position > read.after && position <= read.through
}

#[async_trait]
impl ChangeLog for MemoryLog {
    async fn heads(&self, _: Purpose) -> Result<Vec<Head>> {
        self.ask()?;
        Ok(vec![self.head()])
    }

    async fn heads_of(&self, _: &[ModuleName], purpose: Purpose) -> Result<Vec<Head>> {
        self.heads(purpose).await
    }

    async fn rows_after(
        &self,
        from: &[(ModuleName, Position)],
        limit: u32,
        _: Purpose,
    ) -> Result<Vec<(ModuleName, Arc<Change>)>> {
        self.ask()?;
        let rows = self.rows.lock().unwrap();
        let after = from[0].1;
        let rows = rows.changes.iter().filter(|change| change.position > after);
        Ok(rows
            .take(limit as usize)
            .map(|change| (self.module.clone(), Arc::clone(change)))
            .collect())
    }

    async fn read_log(&self, read: ChannelRead<'_>, _: Purpose) -> Result<LogPage> {
        self.ask()?;
        let rows = self.rows.lock().unwrap();
        let wanted = |change: &&Arc<Change>| is_wanted(&read, &change.audience, change.position);
        let changes = rows.changes.iter().filter(wanted).take(read.limit as usize);
        Ok(LogPage {
            changes: changes.cloned().collect(),
            epoch: Epoch::new(rows.epoch),
            retained_from: Position::new(rows.retained_from),
        })
    }

    async fn read_state(
        &self,
        read: ChannelRead<'_>,
        tombstones: bool,
        _: Purpose,
    ) -> Result<Vec<StateItem>> {
        self.ask()?;
        let rows = self.rows.lock().unwrap();
        let mut items: Vec<_> = rows
            .state
            .values()
            .filter(|item| is_wanted(&read, &item.audience, item.position))
            .filter(|item| tombstones || item.op == Op::Upsert)
            .cloned()
            .collect();
        items.sort_by_key(|item| item.position);
        items.truncate(read.limit as usize);
        Ok(items)
    }

    async fn tick_bounds(&self, _: &ModuleName, from: Micros, _: Purpose) -> Result<TickBounds> {
        self.ask()?;
        let rows = self.rows.lock().unwrap();
        let mut later = rows.changes.iter().filter(|c| c.sequenced_at >= from);
        let head = Position::new(rows.head);
        Ok(TickBounds {
            epoch: Epoch::new(rows.epoch),
            retained_from: Position::new(rows.retained_from),
            after: later.next().map_or(head, |change| change.position.before()),
            oldest: rows.changes.first().map(|change| change.sequenced_at),
            lost_through: Micros::default(),
        })
    }

    async fn read_state_ticks(
        &self,
        read: StateTicks<'_>,
        _: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>> {
        self.ask()?;
        let rows = self.rows.lock().unwrap();
        let times = |item: &StateItem| rows.times[&item.position];
        let mut items: Vec<_> = rows
            .state
            .values()
            .filter(|item| read.audiences.contains(&item.audience))
            .map(|item| (times(item), item.clone()))
            .filter(|(at, _)| (read.from..read.before).contains(at))
            .collect();
        items.sort_by_key(|(_, item)| item.position);
        items.truncate(read.limit as usize);
        Ok(items)
    }
}

/// A gateway with one module.
pub struct Gateway {
    pub log: Arc<MemoryLog>,
    pub tail: Arc<Tail>,
    pub flags: Arc<Flags>,
    module: ModuleName,
    public: Public,
    pub clock: Arc<StoppedClock>,
    /// The database's.
    pub database_clock: Arc<StoppedClock>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A module from its TOML, without the `[[modules]]`.
pub fn module(toml: &str) -> Module {
    toml::from_str(toml).unwrap()
}

/// Keeps the tail's promise: brings it to the head whenever somebody asks.
async fn follow(log: Arc<MemoryLog>, tail: Arc<Tail>, refresh: Arc<Refresh>) {
    loop {
        refresh.asked().await;
        while let Some(round) = refresh.begin_round() {
            let up = !log.down.load(SeqCst);
            if up {
                catch_up(&log, &tail);
            }
            refresh.end_round(&round, up);
        }
    }
}

fn catch_up(log: &MemoryLog, tail: &Tail) {
    tail.adopt_head(&log.head());
    let changes = log.rows.lock().unwrap().changes.clone();
    assert!(tail.append(&log.module, &changes), "no hole in the log");
    let head = log.head();
    tail.close(&Closed {
        module: head.module,
        epoch: head.epoch,
        head: head.head,
        through: head.sequenced_through,
        now: head.sequenced_through,
    });
}

impl Gateway {
    /// A gateway whose tail keeps `tail_changes` changes. Needs a tokio runtime.
    pub fn new(toml: &str, tail_changes: usize) -> Self {
        let contract = Contract::compile(&module(toml), &Limits::default());
        let contract = contract.unwrap().unwrap();
        let name = contract.module().clone();
        Self::serving(name, vec![contract.into()], tail_changes)
    }

    /// The same from a whole configuration. Only its first module has a log.
    pub fn of_config(toml: &str, tail_changes: usize) -> Self {
        let config: config::Config = toml::from_str(toml).unwrap();
        let sites = poll::compile(&config).unwrap();
        Self::serving(config.modules[0].module_name(), sites, tail_changes)
    }

    fn serving(name: ModuleName, sites: Vec<Site>, tail_changes: usize) -> Self {
        let bounds = tail::Tail {
            changes: tail_changes,
            ..tail::Tail::default()
        };
        let log = Arc::new(MemoryLog::new(name.clone()));
        let tail = Arc::new(Tail::new(&bounds, std::slice::from_ref(&name)));
        tail.adopt_head(&log.head());
        let flags = Arc::new(Flags::new(std::slice::from_ref(&name)));
        let refresh = Arc::new(Refresh::new(Duration::from_secs(5)));
        tokio::spawn(follow(log.clone(), tail.clone(), refresh.clone()));
        let config = config::poll::Poll::default();
        let reader = Reader {
            log: log.clone(),
            tail: tail.clone(),
            refresh,
            admission: Arc::new(Admission::new(
                &config::admission::Admission::default(),
                8,
                1,
                std::slice::from_ref(&name),
                || 0.5,
            )),
        };
        let stop = CancellationToken::new();
        let waiting = Waiting::new(tail.clone(), stop, config.max_waiting, || 0.5);
        let routes = Routes::new(BTreeMap::from([(name.clone(), vec!["local".to_owned()])]));
        let stopped = || Arc::new(StoppedClock(AtomicI64::new(NOW.get())));
        let (clock, database_clock) = (stopped(), stopped());
        let heard = Arc::clone(&database_clock);
        let sources = Sources::new(
            Arc::new(reader),
            Arc::new(waiting),
            (
                Arc::new(Adviser::new(flags.clone(), Arc::new(routes), |_| true)),
                Arc::new(Census::nobodys()),
            ),
            Arc::clone(&clock) as Arc<dyn Clock>,
            &config,
        );
        let sources = Arc::new(sources.by_database(move |_| Some(heard.now())));
        let route = |site| Arc::new(Route::new(site, &sources, &config));
        let legacy = PublicState {
            endpoints: sites.into_iter().map(route).collect(),
            body_bytes: 1_000,
            body_patience: Duration::from_secs(5),
            modules: Vec::new(),
            asyncapi: Arc::new(AsyncApi::new(
                &config::mqtt::Mqtt::default(),
                Bound::default(),
                [],
            )),
            proxies: Vec::new(),
            identity: Arc::new(Identity::open()),
            cors_origins: Vec::new(),
            compress_above_bytes: 2_000,
            url_bytes: 32_768,
            pace: Arc::new(Pace::new(&config::rate::Rate::default(), Instant::now())),
        };
        let public = service(legacy, Router::new(), None);
        Self {
            log,
            tail,
            flags,
            module: name,
            public,
            clock,
            database_clock,
        }
    }

    /// Brings the tail to the head, as its reader does every few milliseconds.
    pub fn catch_up(&self) {
        catch_up(&self.log, &self.tail);
    }

    /// Commits an upsert that the tail sees.
    pub fn upsert(&self, audience: &str, key: &str, value: &str) {
        self.log.commit(audience, key, Op::Upsert, value);
        self.catch_up();
    }

    pub fn set_stage(&self, stage: Stage, basis_points: u16) {
        self.set_flags(|record| {
            record.stage = stage;
            record.cohort = changeover::domain::Cohort::share(basis_points.try_into().unwrap());
            record.entered.at = Micros::new(1_688_169_599_000_000);
        });
    }

    pub fn set_flags(&self, set: impl FnOnce(&mut StageRecord)) {
        let mut record = StageRecord::clone(&self.flags.record(&self.module).unwrap());
        set(&mut record);
        record.version += 1;
        assert_eq!(self.flags.adopt(&[record]).len(), 1);
    }

    pub fn reads(&self) -> usize {
        self.log.reads.load(SeqCst)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .public
            .answer(request, IpAddr::from([127, 0, 0, 1]))
            .await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}
