//! The messages and answers of a gateway as text, read into what the rule works with.
//!
//! Members that are not known are passed over: a gateway may say more tomorrow. A value is kept byte for byte.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Bookmark, Change, Connection, Message, Page, Session, StatePage, Told};
use crate::domain::{
    Audience, Cursor, Epoch, Invalid, JsonText, ModuleName, Op, Position, Transport,
};

/// Why a text could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON of the shape that the gateway writes.
    #[error("not as the gateway writes it: {0}")]
    Shape(#[from] serde_json::Error),
    /// A value that may not be.
    #[error(transparent)]
    Value(#[from] Invalid),
}

/// What `POST /v1/poll` says of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Changes.
    Page(Page),
    /// The log does not reach back so far, or began anew.
    Gone,
    /// Not now, or no such module.
    Failed,
}

#[derive(Deserialize)]
struct CloudEvent {
    source: String,
    r#type: String,
    subject: String,
    sequence: String,
    previous: String,
    epoch: String,
    audience: String,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
}

/// `null` is a value as well.
fn present<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(text).map(Some)
}

impl CloudEvent {
    fn change(self) -> Result<(ModuleName, Change), Invalid> {
        let module = self.source.strip_prefix("/changeover/").unwrap_or_default();
        let kind = self
            .r#type
            .strip_prefix("changeover.")
            .unwrap_or(&self.r#type);
        let change = Change {
            epoch: Epoch::new(number("epoch", &self.epoch)?),
            position: Position::new(number("sequence", &self.sequence)?),
            previous: Position::new(number("previous", &self.previous)?),
            // It was admitted by the gateway, whose limits may be others than ours.
            audience: Audience::stored(self.audience),
            key: self.subject.into(),
            op: kind.parse::<Op>()?,
            value: self.data.map(JsonText::from),
        };
        Ok((module.parse()?, change))
    }
}

fn number<N: std::str::FromStr>(what: &'static str, text: &str) -> Result<N, Invalid> {
    let parsed = text.parse();
    parsed.map_err(|_| Invalid::new(what, "must be a number in digits"))
}

#[derive(Deserialize)]
struct BookmarkText {
    module: ModuleName,
    epoch: Epoch,
    generation: u64,
    version: i64,
}

#[derive(Deserialize)]
struct Kind {
    specversion: Option<String>,
}

impl Message {
    /// Reads a structured `CloudEvent`, or the retained message of a module.
    pub fn parse(payload: &[u8]) -> Result<Self, Unreadable> {
        let kind: Kind = serde_json::from_slice(payload)?;
        if kind.specversion.is_some() {
            let event: CloudEvent = serde_json::from_slice(payload)?;
            let (module, change) = event.change()?;
            return Ok(Self::Change(module, change));
        }
        let said: BookmarkText = serde_json::from_slice(payload)?;
        Ok(Self::Bookmark(Bookmark {
            module: said.module,
            epoch: said.epoch,
            generation: said.generation,
            version: said.version,
        }))
    }
}

#[derive(Deserialize)]
struct PollText {
    modules: BTreeMap<ModuleName, PolledText>,
}

#[derive(Deserialize)]
struct PolledText {
    error: Option<String>,
    cursor: Option<Cursor>,
    #[serde(default)]
    changes: Vec<CloudEvent>,
    #[serde(default)]
    has_more: bool,
}

impl Polled {
    /// Reads the body of an answer to `POST /v1/poll`.
    pub fn parse(body: &[u8]) -> Result<BTreeMap<ModuleName, Self>, Unreadable> {
        let text: PollText = serde_json::from_slice(body)?;
        let modules = text.modules.into_iter();
        modules
            .map(|(name, said)| Ok((name, said.polled()?)))
            .collect()
    }
}

impl PolledText {
    fn polled(self) -> Result<Polled, Invalid> {
        let cursor = match (self.error.as_deref(), self.cursor) {
            (Some("gone"), _) => return Ok(Polled::Gone),
            (None, Some(cursor)) => cursor,
            (Some(_), _) | (None, None) => return Ok(Polled::Failed),
        };
        Ok(Polled::Page(Page {
            changes: changes(self.changes)?,
            cursor,
            has_more: self.has_more,
            is_state: false,
            next_poll: None,
            transport: None,
        }))
    }
}

fn changes(events: Vec<CloudEvent>) -> Result<Vec<Change>, Invalid> {
    let one = |event: CloudEvent| {
        let (_module, change) = event.change()?;
        if change.value.is_none() {
            return Err(Invalid::new("data", "is missing: a read has no pointers"));
        }
        Ok(change)
    };
    events.into_iter().map(one).collect()
}

impl Page {
    /// A page of `GET /v1/streams/{module}`: its body, and what its headers `Stream-Next-Offset` and
    /// `Stream-Up-To-Date` say.
    pub fn of_stream(body: &[u8], next: &str, is_up_to_date: bool) -> Result<Self, Unreadable> {
        Ok(Self {
            changes: changes(serde_json::from_slice(body)?)?,
            cursor: next.parse()?,
            has_more: !is_up_to_date,
            is_state: false,
            next_poll: None,
            transport: None,
        })
    }
}

#[derive(Deserialize)]
struct StateText {
    cursor: Cursor,
    items: Vec<ItemText>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ItemText {
    key: Box<str>,
    audience: String,
    position: Position,
    value: Box<RawValue>,
}

impl StatePage {
    /// Reads the body of an answer to `GET /v1/modules/{module}/snapshot`.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let text: StateText = serde_json::from_slice(body)?;
        let epoch = text.cursor.epoch;
        let item = |item: ItemText| Change {
            epoch,
            position: item.position,
            previous: Position::ZERO,
            audience: Audience::stored(item.audience),
            key: item.key,
            op: Op::Upsert,
            value: Some(item.value.into()),
        };
        Ok(Self {
            items: text.items.into_iter().map(item).collect(),
            cursor: text.cursor,
            next: text.next,
        })
    }
}

#[derive(Deserialize)]
struct SessionText {
    next_session_ms: u64,
    resync_ms: u64,
    targets: BTreeMap<String, ConnectionText>,
    modules: BTreeMap<ModuleName, ToldText>,
}

#[derive(Deserialize)]
struct ConnectionText {
    target: String,
    url: Option<String>,
    websocket_url: Option<String>,
    protocol: String,
    client_id: String,
    username: Option<String>,
    password: Option<String>,
    keep_alive_s: u64,
}

#[derive(Deserialize)]
struct ToldText {
    transport: String,
    reason: String,
    topics: Vec<String>,
    target: Option<String>,
    next_poll_ms: Option<u64>,
}

impl Session {
    /// Reads the body of an answer to `POST /v1/session`.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let text: SessionText = serde_json::from_slice(body)?;
        let connections = text.targets.into_iter();
        let modules = text.modules.into_iter();
        Ok(Self {
            next_session: Duration::from_millis(text.next_session_ms),
            resync: Duration::from_millis(text.resync_ms),
            targets: connections
                .map(|(name, target)| (name, target.connection()))
                .collect(),
            modules: modules.map(|(name, said)| (name, said.told())).collect(),
        })
    }
}

impl ConnectionText {
    fn connection(self) -> Connection {
        Connection {
            target: self.target,
            url: self.url,
            websocket_url: self.websocket_url,
            protocol: self.protocol,
            client_id: self.client_id,
            username: self.username,
            password: self.password,
            keep_alive: Duration::from_secs(self.keep_alive_s),
        }
    }
}

impl ToldText {
    fn told(self) -> Told {
        // Whatever else a gateway may say one day, polls are answered.
        let transport = if self.transport == "push" {
            Transport::Push
        } else {
            Transport::Poll
        };
        Told {
            transport,
            reason: self.reason,
            topics: self.topics,
            target: self.target,
            next_poll: self.next_poll_ms.map(Duration::from_millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"m1/2/42","source":"/changeover/m1","type":"changeover.upsert","subject":"k","time":"2026-11-23T00:00:00.000000Z","datacontenttype":"application/json","sequence":"00009007199254740993","previous":"00000000000000000040","epoch":"2","audience":"u1","later":1,"data":1.10}"#;

    fn change(text: &str) -> Result<Change, Unreadable> {
        match Message::parse(text.as_bytes())? {
            Message::Change(_, change) => Ok(change),
            Message::Bookmark(bookmark) => panic!("{bookmark:?}"),
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let read = change(EVENT).unwrap();
        assert_eq!(read.position.get(), 9_007_199_254_740_993);
        assert_eq!((read.previous.get(), read.epoch.get()), (40, 2));
        assert_eq!((read.audience.as_str(), &*read.key), ("u1", "k"));
        assert_eq!(read.value, Some(JsonText::stored("1.10")));
    }

    #[test]
    fn null_is_a_value_and_a_pointer_has_none() {
        let deleted = EVENT.replace("upsert", "delete").replace("1.10", "null");
        let deleted = change(&deleted).unwrap();
        assert_eq!(deleted.op, Op::Delete);
        assert_eq!(deleted.value, Some(JsonText::null()));
        let pointer = EVENT.replace(r#""data":1.10"#, r#""dataref":"/v1/streams/m1?offset=x""#);
        assert_eq!(change(&pointer).unwrap().value, None);
        let page = format!("[{pointer}]");
        Page::of_stream(page.as_bytes(), "00000002_000000000000002a", true).unwrap_err();
    }

    #[test]
    fn what_is_none_of_ours_is_refused() {
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"specversion":"1.0"}"#,
            &EVENT.replace("changeover.upsert", "changeover.merge"),
            &EVENT.replace("/changeover/m1", "/other"),
            &EVENT.replace("00009007199254740993", "-1"),
            &EVENT.replace(r#""epoch":"2""#, r#""epoch":"4294967296""#),
        ] {
            Message::parse(wrong.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_retained_message_is_read() {
        let text = br#"{"module":"m1","epoch":2,"head":7,"generation":3,"stage_requested":"mirror","stage_effective":"mirror","version":5,"reason":"stage","time":"1970-01-01T00:00:00.000000Z"}"#;
        let read = Message::parse(text).unwrap();
        let expected = Bookmark {
            module: "m1".parse().unwrap(),
            epoch: Epoch::new(2),
            generation: 3,
            version: 5,
        };
        assert_eq!(read, Message::Bookmark(expected));
    }

    #[test]
    fn each_module_of_a_poll_has_its_own_answer() {
        let text = format!(
            r#"{{"modules":{{"a":{{"cursor":"00000002_000000000000002a","changes":[{EVENT}],"has_more":true}},"b":{{"error":"gone","snapshot":null}},"c":{{"error":"unavailable"}}}}}}"#
        );
        let read = Polled::parse(text.as_bytes()).unwrap();
        let Polled::Page(page) = &read["a"] else {
            panic!("{read:?}")
        };
        assert!(page.has_more);
        assert_eq!((page.changes.len(), page.cursor.position.get()), (1, 42));
        assert_eq!((&read["b"], &read["c"]), (&Polled::Gone, &Polled::Failed));
    }

    #[test]
    fn a_session_is_read_and_what_is_not_push_is_poll() {
        let text = r#"{"client_id":"t","expires_at":"2026-11-23T01:00:00.000000Z","next_session_ms":1000,"resync_ms":2000,"mqtt":null,"targets":{"local":{"target":"local","url":"mqtt://h:1883","websocket_url":null,"protocol":"5","client_id":"c","username":null,"password":null,"keep_alive_s":60}},"modules":{"a":{"transport":"push","reason":"stage","topics":["x"],"target":"local","next_poll_ms":null},"b":{"transport":"pull","reason":"stage","topics":[],"target":null,"next_poll_ms":5000}}}"#;
        let read = Session::parse(text.as_bytes()).unwrap();
        let told = |module: &str| &read.modules[module];
        assert_eq!(
            (told("a").transport, told("a").next_poll),
            (Transport::Push, None)
        );
        assert_eq!(told("b").transport, Transport::Poll);
        assert_eq!(told("b").next_poll, Some(Duration::from_secs(5)));
        assert_eq!(read.targets["local"].keep_alive, Duration::from_mins(1));
    }

    #[test]
    fn a_page_of_a_snapshot_is_read() {
        let text = br#"{"cursor":"00000002_000000000000002a","items":[{"key":"k","audience":"*","position":7,"value":{"a":1.10}}],"next":null}"#;
        let read = StatePage::parse(text).unwrap();
        assert_eq!(read.next, None);
        assert_eq!(read.items[0].position.get(), 7);
        assert_eq!(read.items[0].value, Some(JsonText::stored(r#"{"a":1.10}"#)));
    }
}
