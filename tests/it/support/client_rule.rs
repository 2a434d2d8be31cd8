//! The client's rule of algorithms.md §6, without any I/O.
//!
//! Invariants: `cursor` moves by the answers of polls alone; per channel what is applied ascends,
//! each change after the one that it names as its predecessor; a pointer is taken for a gap. What breaks that
//! is written down as trouble, which a test shows.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

/// One change as a client holds it. The value is the text as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub position: u64,
    pub previous: u64,
    pub audience: String,
    pub key: String,
    pub value: String,
}

/// A change that came by MQTT.
#[derive(Debug, Clone)]
pub struct Event {
    pub epoch: u32,
    /// Its value is empty if it came as a pointer.
    pub change: Held,
    /// Where its value is, if it came without.
    pub dataref: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CloudEvent {
    subject: String,
    sequence: String,
    previous: String,
    epoch: String,
    audience: String,
    data: Option<Box<RawValue>>,
    dataref: Option<String>,
}

impl Event {
    /// Reads a structured `CloudEvent`.
    pub fn parse(payload: &[u8]) -> Self {
        let event: CloudEvent = serde_json::from_slice(payload).unwrap();
        assert!(event.data.is_some() != event.dataref.is_some(), "{event:?}");
        Self {
            epoch: event.epoch.parse().unwrap(),
            change: Held {
                position: event.sequence.parse().unwrap(),
                previous: event.previous.parse().unwrap(),
                audience: event.audience,
                key: event.subject,
                value: event
                    .data
                    .map_or(String::new(), |data| data.get().to_owned()),
            },
            dataref: event.dataref,
        }
    }
}

/// The answer of a legacy poll with the templates of [`super::terminal::MODULES`].
#[derive(Debug, Deserialize)]
pub struct Page {
    pub changes: Vec<Item>,
    pub cursor: String,
    pub more: bool,
    pub snapshot: bool,
}

/// One change of it.
#[derive(Debug, Deserialize)]
pub struct Item {
    pub key: String,
    pub position: u64,
    pub previous: Option<u64>,
    pub audience: String,
    pub value: Box<RawValue>,
}

/// What came which way.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Applied as they came by MQTT.
    pub by_mqtt: u64,
    /// Applied from the answers of polls.
    pub by_catch_up: u64,
    /// Came by MQTT and were held already.
    pub twice: u64,
    /// Events that showed that something before them is missing.
    pub gaps: u64,
    /// Events that came without their value and had to be read.
    pub pointers: u64,
    /// Subscriptions that stood.
    pub connections: u64,
    /// Those without the session of before.
    pub sessions_lost: u64,
    /// Times that `generation` in the retained message changed.
    pub generations: u64,
    /// Catch-ups: each is one or more polls.
    pub catch_ups: u64,
    /// Times that the session named another broker.
    pub moves: u64,
}

/// A client's memory of one module.
#[derive(Debug, Default, Clone)]
pub struct Memory {
    epoch: u32,
    cursor: u64,
    lasts: BTreeMap<String, u64>,
    /// By position.
    pub applied: BTreeMap<u64, Held>,
    pub counts: Counts,
    /// What must never happen.
    pub trouble: Vec<String>,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Applied,
    Dropped,
    /// Something before it is missing, or it is of another epoch: read from the cursor first.
    ReadFirst,
}

impl Memory {
    /// Everything up to here was said by a poll.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The cursor as a poll sends it; `None` before the first answer.
    pub fn token(&self) -> Option<String> {
        (self.epoch > 0).then(|| format!("{:08x}_{:016x}", self.epoch, self.cursor))
    }

    fn have(&self, audience: &str) -> u64 {
        let last = self.lasts.get(audience).copied().unwrap_or_default();
        last.max(self.cursor)
    }

    /// Judges an event, and applies it if it is next.
    pub fn offer(&mut self, event: &Event) -> Verdict {
        if event.epoch != self.epoch {
            return Verdict::ReadFirst;
        }
        let have = self.have(&event.change.audience);
        if event.change.position <= have {
            self.counts.twice += 1;
            if event.dataref.is_none() {
                self.must_hold(&event.change);
            }
            return Verdict::Dropped;
        }
        if event.dataref.is_some() {
            self.counts.pointers += 1;
            return Verdict::ReadFirst;
        }
        if event.change.previous > have {
            self.counts.gaps += 1;
            return Verdict::ReadFirst;
        }
        self.counts.by_mqtt += 1;
        self.apply(event.change.clone());
        Verdict::Applied
    }

    /// Takes an answer that was asked for with the present cursor.
    pub fn take(&mut self, page: Page) {
        let (epoch, position) = parse_token(&page.cursor);
        if page.snapshot || (self.epoch > 0 && epoch != self.epoch) {
            let what = format!(
                "the log began anew: {} after {:?}",
                page.cursor,
                self.token()
            );
            self.trouble.push(what);
        }
        self.epoch = epoch;
        for item in page.changes {
            self.take_item(item);
        }
        if position < self.cursor {
            let what = format!("the cursor went back from {} to {position}", self.cursor);
            self.trouble.push(what);
        }
        self.cursor = position;
    }

    fn take_item(&mut self, item: Item) {
        let held = Held {
            position: item.position,
            previous: item.previous.unwrap_or_default(),
            audience: item.audience,
            key: item.key,
            value: item.value.get().to_owned(),
        };
        let have = self.have(&held.audience);
        if held.position <= have {
            self.must_hold(&held);
            return;
        }
        if held.previous > have {
            let what = format!(
                "a poll from {} left out what is before {held:?}",
                self.cursor
            );
            self.trouble.push(what);
        }
        self.counts.by_catch_up += 1;
        self.apply(held);
    }

    /// What counts as had must be there, and be the same.
    fn must_hold(&mut self, change: &Held) {
        let held = self.applied.get(&change.position);
        if held != Some(change) {
            let what = format!("{change:?} counts as had, but what is held there is {held:?}");
            self.trouble.push(what);
        }
    }

    fn apply(&mut self, change: Held) {
        let last = self.lasts.insert(change.audience.clone(), change.position);
        if last.is_some_and(|last| last >= change.position) {
            self.trouble
                .push(format!("{change:?} was applied after {last:?}"));
        }
        if let Some(before) = self.applied.insert(change.position, change) {
            self.trouble.push(format!("applied twice: {before:?}"));
        }
    }
}

/// Epoch and position of an opaque cursor.
pub fn parse_token(token: &str) -> (u32, u64) {
    let (epoch, position) = token.split_once('_').unwrap();
    (
        u32::from_str_radix(epoch, 16).unwrap(),
        u64::from_str_radix(position, 16).unwrap(),
    )
}

/// Events that wait while a catch-up is under way.
pub type Buffer = VecDeque<Event>;
