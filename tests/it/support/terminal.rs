//! A terminal that was moved to push: it follows the rule of [`super::client_rule`] on a real
//! broker and real polls, whatever happens to them, and keeps what it has applied.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use changeover::{
    config::mqtt::Protocol,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    client_rule::{Buffer, Event, Held, Memory, Page, Verdict},
    session::{self, Place},
};

/// The module that terminals know. The answers of its poll hold all that the rule needs.
pub const MODULES: &str = r#"
[[modules]]
name = "orders"
[modules.poll]
path     = "/orders"
cursor   = { in = "query", name = "since", kind = "token" }
audience = { in = "query", name = "uid" }
limit    = { in = "query", name = "size", default = 500, max = 1000 }
[modules.poll.response]
body  = '{"changes":"$changes","cursor":"$cursor","more":"$has_more","snapshot":"$snapshot"}'
item  = '{"key":"$key","position":"$position","previous":"$previous","audience":"$audience","value":"$value"}'
error = '{"status":"$status","message":"$message"}'
"#;

/// Who it is, and where it asks.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The public listener of each replica: `http://…`.
    pub gateways: Vec<String>,
    pub broker: String,
    /// Who asks the gateways where to connect, instead of knowing `broker`.
    pub client_id: Option<String>,
    pub protocol: Protocol,
    /// Whose changes it gets, beside everyone's.
    pub audience: String,
    /// The session's `resync_ms`: the loss of a channel's last message shows nowhere else.
    pub resync: Duration,
    pub seed: u64,
}

/// A running terminal.
pub struct Terminal {
    pub audience: String,
    memory: Arc<Mutex<Memory>>,
    failed_polls: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Between two attempts at something that failed.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest random delay before the catch-up that a new `generation` asks for.
const SPREAD_MS: u64 = 100;

impl Terminal {
    /// Starts it, with an empty memory.
    pub fn start(setup: Setup) -> Self {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let failed_polls = Arc::default();
        let audience = setup.audience.clone();
        let life = Life {
            polls: Polls {
                urls: setup
                    .gateways
                    .iter()
                    .map(|at| poll_url(at, &audience))
                    .collect(),
                http: reqwest::Client::builder()
                    .timeout(Duration::from_secs(5))
                    .build()
                    .unwrap(),
                failed: Arc::clone(&failed_polls),
            },
            rng: StdRng::seed_from_u64(setup.seed),
            setup,
            memory: Arc::clone(&memory),
            buffer: Buffer::new(),
            reading: None,
            must_read: false,
            awaits_suback: true,
            session_present: false,
            generation: None,
            place: None,
            version: None,
            told_at: None,
            read_at: Instant::now(),
        };
        Self {
            audience,
            memory,
            failed_polls,
            task: tokio::spawn(life.run()),
        }
    }

    /// Looks at what it holds.
    pub fn look<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        let memory = self.memory.lock().unwrap();
        assert!(memory.trouble.is_empty(), "{:?}", memory.trouble);
        look(&memory)
    }

    /// Waits until a poll has told it that it has everything up to `head`.
    pub async fn reached(&self, head: u64, patience: Duration) {
        let what = format!("{} has everything up to {head}", self.audience);
        super::eventually(&what, patience, async || {
            assert!(!self.task.is_finished(), "the terminal broke down");
            self.look(|memory| (memory.cursor() >= head).then_some(()))
        })
        .await;
    }

    /// Asserts that it holds exactly its part of `log`, and prints which way that came.
    pub fn assert_holds(&self, log: &[Held]) {
        self.look(|memory| {
            let expected: Vec<_> = part_of(log, &self.audience).collect();
            let held: Vec<_> = memory.applied.values().collect();
            let first = expected.iter().zip(&held).find(|(one, other)| one != other);
            assert_eq!(first, None, "{}: the first difference", self.audience);
            assert_eq!(expected.len(), held.len(), "{}", self.audience);
            println!(
                "terminal {}: {} changes; {:?}; {} polls failed",
                self.audience,
                held.len(),
                memory.counts,
                self.failed_polls.load(Relaxed),
            );
        });
    }
}

/// What a client of this audience should get of the log.
pub fn part_of<'a>(log: &'a [Held], audience: &'a str) -> impl Iterator<Item = &'a Held> {
    let mine = move |change: &&Held| change.audience == "*" || change.audience == audience;
    log.iter().filter(mine)
}

/// So many terminals that this gateway tells which broker is theirs.
pub fn told_where(gateway: &str, count: u64, resync: Duration, seed: u64) -> Vec<Terminal> {
    let start = |n| {
        Terminal::start(Setup {
            gateways: vec![gateway.to_owned()],
            broker: String::new(),
            client_id: Some(format!("terminal-{n}")),
            protocol: Protocol::V5,
            audience: format!("u{}", 1 + n % 2),
            resync,
            seed: seed ^ n,
        })
    };
    (0..count).map(start).collect()
}

/// The terminals of `u1` and `u2`.
pub fn pair(gateways: &[&str], broker: &str, seed: u64) -> Vec<Terminal> {
    pair_speaking(Protocol::V5, gateways, broker, seed)
}

/// The same on a version of MQTT.
pub fn pair_speaking(
    protocol: Protocol,
    gateways: &[&str],
    broker: &str,
    seed: u64,
) -> Vec<Terminal> {
    let start = |audience: &str| {
        Terminal::start(Setup {
            gateways: gateways.iter().map(|&at| at.to_owned()).collect(),
            broker: broker.to_owned(),
            client_id: None,
            protocol,
            audience: audience.to_owned(),
            resync: Duration::from_secs(2),
            seed,
        })
    };
    vec![start("u1"), start("u2")]
}

/// What a client of this audience gets that reads everything by the legacy poll, from the beginning.
pub async fn read_whole(gateway: &str, audience: &str) -> Vec<Held> {
    let polls = Polls {
        urls: vec![poll_url(gateway, audience)],
        http: reqwest::Client::new(),
        failed: Arc::default(),
    };
    let memory = Mutex::new(Memory::default());
    loop {
        let page = polls.next(&memory).await;
        let mut memory = memory.lock().unwrap();
        let more = page.more;
        memory.take(page);
        if !more {
            assert!(memory.trouble.is_empty(), "{:?}", memory.trouble);
            return memory.applied.values().cloned().collect();
        }
    }
}

fn poll_url(gateway: &str, audience: &str) -> String {
    format!("{gateway}/orders?uid={audience}")
}

/// Waits until each terminal has applied something more as it came by MQTT.
pub async fn flow(terminals: &[Terminal], patience: Duration) {
    let by_mqtt = |terminal: &Terminal| terminal.look(|memory| memory.counts.by_mqtt);
    for terminal in terminals {
        let before = by_mqtt(terminal);
        super::eventually("something new comes by MQTT", patience, async || {
            (by_mqtt(terminal) > before).then_some(())
        })
        .await;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Reading = Pin<Box<dyn Future<Output = Page> + Send>>;

struct Life {
    setup: Setup,
    polls: Polls,
    rng: StdRng,
    memory: Arc<Mutex<Memory>>,
    /// What came by MQTT while a catch-up was due or under way.
    buffer: Buffer,
    /// The poll that is under way.
    reading: Option<Reading>,
    /// A catch-up must begin after the one that is under way.
    must_read: bool,
    /// Connected without the session of before: nothing is applied before a read that begins after SUBACK.
    awaits_suback: bool,
    session_present: bool,
    generation: Option<u64>,
    /// What the session said; none if it does not ask for one.
    place: Option<Place>,
    /// Of the module's flags, as the retained message says.
    version: Option<i64>,
    /// The version that the session was asked at.
    told_at: Option<i64>,
    /// When to read for no other reason.
    read_at: Instant,
}

enum Wake {
    Signals(Option<Vec<Signal>>),
    Page(Page),
    ReadNow,
}

impl Life {
    async fn run(mut self) {
        self.resync_later();
        loop {
            self.ask_where().await;
            let mut link = Link::open(&self.link_options());
            self.stay_connected(&mut link).await;
            sleep(PAUSE).await;
        }
    }

    async fn stay_connected(&mut self, link: &mut Link) {
        loop {
            let wake = tokio::select! {
                signals = link.next() => Wake::Signals(signals),
                page = next_page(&mut self.reading) => Wake::Page(page),
                () = sleep_until(self.read_at) => Wake::ReadNow,
            };
            match wake {
                Wake::Signals(None) => return,
                Wake::Signals(Some(signals)) => {
                    for signal in signals {
                        self.on_signal(link, signal);
                    }
                }
                Wake::Page(page) => self.on_page(page),
                Wake::ReadNow => {
                    self.resync_later();
                    self.must_read = true;
                }
            }
            self.go_on();
            if self.version != self.told_at && self.ask_where().await {
                // Leaves the old broker's session behind.
                return;
            }
        }
    }

    /// Returns whether it is to be somewhere else from now on.
    async fn ask_where(&mut self) -> bool {
        self.told_at = self.version;
        let Some(client_id) = &self.setup.client_id else {
            return false;
        };
        let place = session::ask(&self.setup.gateways, client_id, &self.setup.audience).await;
        let moved = self.place.as_ref().is_some_and(|before| *before != place);
        if moved {
            self.memory.lock().unwrap().counts.moves += 1;
            self.generation = None;
        }
        self.place = Some(place);
        moved
    }

    fn on_signal(&mut self, link: &Link, signal: Signal) {
        match signal {
            Signal::Connected {
                session_present, ..
            } => {
                self.session_present = session_present;
                self.awaits_suback |= !session_present;
                // If the link is gone already, its end follows.
                let _gone = link.subscribe(&self.filters(), true);
            }
            Signal::Subscribed(granted) => {
                assert!(granted.is_granted(), "the subscription was refused");
                let counts = &mut self.memory.lock().unwrap().counts;
                counts.connections += 1;
                counts.sessions_lost += u64::from(!self.session_present);
                self.must_read |= self.awaits_suback;
                self.awaits_suback = false;
            }
            Signal::Message { topic, payload, .. } if topic.contains("/m/") => {
                self.on_retained(&payload);
            }
            Signal::Message { payload, .. } => self.buffer.push_back(Event::parse(&payload)),
            _ => {}
        }
    }

    fn on_retained(&mut self, payload: &[u8]) {
        let message: serde_json::Value = serde_json::from_slice(payload).unwrap();
        self.version = message["version"].as_i64();
        let generation = message["generation"].as_u64();
        let before = std::mem::replace(&mut self.generation, generation);
        if before.is_some() && before != generation {
            self.memory.lock().unwrap().counts.generations += 1;
            let delay = Duration::from_millis(self.rng.random_range(0..=SPREAD_MS));
            self.read_at = self.read_at.min(Instant::now() + delay);
        }
    }

    fn on_page(&mut self, page: Page) {
        let more = page.more;
        self.memory.lock().unwrap().take(page);
        if more && !self.must_read {
            self.reading = Some(self.polls.next(&self.memory));
        }
    }

    /// Begins the catch-up that is due, or applies what has come if none is.
    fn go_on(&mut self) {
        if self.reading.is_some() {
            return;
        }
        if !self.must_read && !self.awaits_suback {
            self.apply_buffered();
        }
        if self.must_read {
            self.must_read = false;
            self.memory.lock().unwrap().counts.catch_ups += 1;
            self.reading = Some(self.polls.next(&self.memory));
        }
    }

    fn apply_buffered(&mut self) {
        let mut memory = self.memory.lock().unwrap();
        while let Some(event) = self.buffer.front() {
            if memory.offer(event) == Verdict::ReadFirst {
                self.must_read = true;
                return;
            }
            self.buffer.pop_front();
        }
    }

    /// At half to all of the interval from now.
    fn resync_later(&mut self) {
        let part = self.rng.random_range(0.5..=1.0);
        self.read_at = Instant::now() + self.setup.resync.mul_f64(part);
    }

    fn filters(&self) -> Vec<String> {
        if let Some(place) = &self.place {
            return place.topics.clone();
        }
        vec![
            "changeover/m/orders".to_owned(),
            "changeover/c/orders/_all".to_owned(),
            format!("changeover/c/orders/{}", self.setup.audience),
        ]
    }

    fn link_options(&self) -> LinkOptions {
        let (broker, client_id) = match &self.place {
            Some(place) => (&place.url, place.mqtt_client_id.clone()),
            None => (
                &self.setup.broker,
                format!("terminal-{}", self.setup.audience),
            ),
        };
        LinkOptions {
            endpoint: Endpoint::parse(broker, self.setup.protocol).unwrap(),
            client_id,
            keep_alive: Duration::from_secs(5),
            inflight: 10,
            session: Some(Duration::from_mins(10)),
            max_packet_bytes: 1024 * 1024,
        }
    }
}

/// The page that is being fetched; waits for ever while none is.
async fn next_page(reading: &mut Option<Reading>) -> Page {
    let Some(fetching) = reading else {
        return std::future::pending().await;
    };
    let page = fetching.await;
    *reading = None;
    page
}

/// The legacy polls of all replicas.
#[derive(Clone)]
struct Polls {
    urls: Vec<String>,
    http: reqwest::Client,
    failed: Arc<AtomicU64>,
}

impl Polls {
    /// One poll from the cursor, for as long as it takes until a replica answers.
    fn next(&self, memory: &Mutex<Memory>) -> Reading {
        let token = memory.lock().unwrap().token();
        let polls = self.clone();
        Box::pin(async move {
            for url in polls.urls.iter().cycle() {
                match polls.ask(url, token.as_deref()).await {
                    Ok(page) => return page,
                    Err(_down) => polls.failed.fetch_add(1, Relaxed),
                };
                sleep(PAUSE).await;
            }
            unreachable!("there is a replica")
        })
    }

    async fn ask(&self, url: &str, token: Option<&str>) -> reqwest::Result<Page> {
        let since = token.map_or(String::new(), |token| format!("&since={token}"));
        let answer = self.http.get(format!("{url}{since}")).send().await?;
        answer.error_for_status()?.json().await
    }
}
