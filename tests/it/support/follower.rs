//! A subscriber that writes down what it receives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use changeover::{
    config::mqtt::Protocol,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};
use serde_json::Value;
use tokio::task::JoinHandle;

/// One event as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub topic: String,
    pub module: String,
    pub audience: String,
    pub key: String,
    pub epoch: u32,
    pub position: u64,
    pub previous: u64,
    /// Null in a pointer.
    pub data: Value,
    /// Where the value of a pointer is.
    pub dataref: Option<String>,
}

/// What was received, in order.
#[derive(Debug, Default, Clone)]
pub struct Record {
    pub events: Vec<Event>,
    /// Retained messages of modules, with their topics.
    pub bookmarks: Vec<Value>,
    /// `session_present` of each connection whose subscription stands.
    pub sessions: Vec<bool>,
}

impl Record {
    /// How many different positions have come.
    pub fn distinct(&self) -> u64 {
        let positions: BTreeSet<_> = self.events.iter().map(|event| event.position).collect();
        positions.len() as u64
    }

    /// How many different positions of a module have come.
    pub fn distinct_of(&self, module: &str) -> usize {
        let ours = self.events.iter().filter(|event| event.module == module);
        ours.map(|event| event.position)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Asserts that, after repeats are dropped, each channel came whole and in its order: what a session
    /// that was never lost can demand. Returns the number of repeats.
    pub fn assert_whole(&self) -> usize {
        let mut lasts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut repeats = 0;
        for event in &self.events {
            let last = lasts.entry(&event.audience).or_default();
            if event.position <= *last {
                repeats += 1;
                continue;
            }
            assert_eq!(
                event.previous, *last,
                "what comes before {event:?} is missing"
            );
            *last = event.position;
        }
        repeats
    }
}

/// A client with a persistent session that reconnects at once.
pub struct Follower {
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Subscribes to these filters at QoS 1.
    pub fn start(url: &str, protocol: Protocol, client_id: &str, filters: &[&str]) -> Self {
        let options = LinkOptions {
            endpoint: Endpoint::parse(url, protocol).unwrap(),
            client_id: client_id.to_owned(),
            keep_alive: Duration::from_secs(5),
            inflight: 10,
            session: Some(Duration::from_mins(10)),
            max_packet_bytes: 1024 * 1024,
        };
        let record = Arc::new(Mutex::new(Record::default()));
        let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
        let task = tokio::spawn(follow(options, filters, Arc::clone(&record)));
        Self { record, task }
    }

    /// What has come so far.
    pub fn record(&self) -> Record {
        self.record.lock().unwrap().clone()
    }

    /// Looks at what has come without copying it.
    pub fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.lock().unwrap())
    }

    /// Waits until what has come satisfies `enough`.
    pub async fn wait(&self, what: &str, mut enough: impl FnMut(&Record) -> bool) {
        super::eventually(what, Duration::from_secs(30), async || {
            self.look(&mut enough).then_some(())
        })
        .await;
    }

    /// Waits for the first subscription.
    pub async fn subscribed(&self) {
        self.wait("a subscription", |record| !record.sessions.is_empty())
            .await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(options: LinkOptions, filters: Vec<String>, record: Arc<Mutex<Record>>) {
    loop {
        let mut link = Link::open(&options);
        let mut present = false;
        while let Some(signals) = link.next().await {
            for signal in signals {
                match signal {
                    Signal::Connected {
                        session_present, ..
                    } => {
                        present = session_present;
                        link.subscribe(&filters, true).unwrap();
                    }
                    Signal::Subscribed(granted) => {
                        assert!(granted.is_granted(), "the subscription was refused");
                        record.lock().unwrap().sessions.push(present);
                    }
                    // A retained message was taken away.
                    Signal::Message { payload, .. } if payload.is_empty() => {}
                    Signal::Message { topic, payload, .. } => note(&record, &topic, &payload),
                    _ => {}
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn note(record: &Mutex<Record>, topic: &str, payload: &[u8]) {
    let message: Value = serde_json::from_slice(payload).unwrap();
    let mut record = record.lock().unwrap();
    if message.get("specversion").is_none() {
        record.bookmarks.push(message);
        return;
    }
    let text = |name: &str| message[name].as_str().unwrap().to_owned();
    record.events.push(Event {
        topic: topic.to_owned(),
        module: text("source")
            .strip_prefix("/changeover/")
            .unwrap()
            .to_owned(),
        audience: text("audience"),
        key: text("subject"),
        epoch: text("epoch").parse().unwrap(),
        position: text("sequence").parse().unwrap(),
        previous: text("previous").parse().unwrap(),
        data: message["data"].clone(),
        dataref: message["dataref"].as_str().map(str::to_owned),
    });
}
