//! Clients that keep a copy of a module's state by one of the ways there are, and what the database says
//! that it is.

use std::collections::BTreeMap;

use changeover::config::mqtt::Protocol;
use serde_json::Value;

use super::{client_rule::parse_token, database::DatabaseUnderTest, follower::Follower};

/// Three modules with the same changes: one per kind of cursor.
pub const MODULES: &str = r#"
[[modules]]
name = "ints"
[modules.poll]
path   = "/ints"
cursor = { in = "query", name = "since", kind = "position" }
limit  = { in = "query", name = "size", default = 7, max = 20000 }
[modules.poll.response]
body = '{"list":"$changes","since":"$cursor","more":"$has_more","snapshot":"$snapshot"}'
item = '{"key":"$key","op":"$op","seq":"$position","value":"$value"}'

[[modules]]
name = "tokens"
[modules.poll]
path   = "/tokens"
cursor = { in = "query", name = "since", kind = "token" }
limit  = { in = "query", name = "size", default = 7, max = 20000 }
[modules.poll.response]
body = '{"list":"$changes","since":"$cursor","more":"$has_more","snapshot":"$snapshot"}'
item = '{"key":"$key","op":"$op","seq":"$position","value":"$value"}'

[[modules]]
name = "whole"
[modules.poll]
path   = "/whole"
cursor = { kind = "none" }
limit  = { max = 20000 }
[modules.poll.response]
body = '{"list":"$changes"}'
item = '{"key":"$key","op":"$op","seq":"$position","value":"$value"}'
"#;

/// All of them.
pub const NAMES: [&str; 3] = ["ints", "tokens", "whole"];

/// Keys and values.
pub type State = BTreeMap<String, String>;

/// What the database holds of a module.
pub async fn truth(database: &DatabaseUnderTest, module: &str) -> State {
    let json = match database.kind {
        super::database::Kind::Sqlite => {
            "SELECT json_group_array(json_array(entity_key, value)) FROM entity_state"
        }
        super::database::Kind::MariaDb => {
            "SELECT CAST(coalesce(json_arrayagg(json_array(CAST(entity_key AS CHAR), CAST(value AS CHAR))), '[]') AS CHAR) FROM entity_state"
        }
        super::database::Kind::Postgres => {
            "SELECT CAST(coalesce(json_agg(json_build_array(entity_key, value)), '[]') AS text) FROM entity_state"
        }
    };
    let sql = format!("{json} WHERE module = '{module}' AND op <> 'delete'");
    let rows = database.text(&sql).await.unwrap();
    let rows: Vec<(String, String)> = serde_json::from_str(&rows).unwrap();
    rows.into_iter().collect()
}

/// A client that polls.
#[derive(Debug, Clone)]
pub struct Poller {
    pub module: &'static str,
    /// As it came last; empty at first.
    pub cursor: String,
    /// By key: position and value. A tombstone has none.
    held: BTreeMap<String, (u64, Option<String>)>,
    /// How often it was told that what follows is state.
    pub told: u32,
    amid_state: bool,
    http: reqwest::Client,
}

impl Poller {
    /// One without a cursor.
    pub fn new(module: &'static str) -> Self {
        Self {
            module,
            cursor: String::new(),
            held: BTreeMap::new(),
            told: 0,
            amid_state: false,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// What it holds.
    pub fn state(&self) -> State {
        let live = |(key, (_, value)): (&String, &(u64, Option<String>))| {
            Some((key.clone(), value.clone()?))
        };
        self.held.iter().filter_map(live).collect()
    }

    /// Polls until there is no more. False if no answer came.
    pub async fn sync(&mut self, gateway: &str) -> bool {
        loop {
            let url = format!("{gateway}/{}?since={}", self.module, self.cursor);
            let Ok(answer) = self.http.get(url).send().await else {
                return false;
            };
            if !answer.status().is_success() {
                return false;
            }
            let page: Value = answer.json().await.unwrap();
            self.take(&page);
            if page["more"] != true {
                return true;
            }
        }
    }

    fn take(&mut self, page: &Value) {
        // The whole state each time has no cursor.
        let whole = page["since"].is_null();
        let state = whole || page["snapshot"] == true;
        if state && !self.amid_state {
            self.held.clear();
            self.told += 1;
        }
        self.amid_state = state && page["more"] == true;
        for item in page["list"].as_array().unwrap() {
            let key = item["key"].as_str().unwrap();
            let position = item["seq"].as_u64().unwrap();
            let live = item["op"] == "upsert";
            self.apply(key, position, live.then(|| item["value"].to_string()));
        }
        if !whole {
            let cursor = &page["since"];
            self.cursor = cursor.as_str().map_or(cursor.to_string(), str::to_owned);
        }
    }

    /// A change or item of state applies to a key only above the one that is held for it.
    fn apply(&mut self, key: &str, position: u64, value: Option<String>) {
        let held = self.held.get(key).map_or(0, |(position, _)| *position);
        if position > held {
            self.held.insert(key.to_owned(), (position, value));
        }
    }
}

/// A client that was moved to push: the client's rule, with the poll of tokens to catch up by.
pub struct Pushed {
    pub poller: Poller,
    follower: Follower,
    last: u64,
    events: usize,
    bookmarks: usize,
    mark: Option<(u64, u64)>,
    /// Changes applied as they came by MQTT.
    pub by_mqtt: u32,
}

impl Pushed {
    /// Subscribes to everyone's changes.
    pub async fn start(broker: &str, client_id: &str) -> Self {
        let filters = ["changeover/m/tokens", "changeover/c/tokens/_all"];
        let follower = Follower::start(broker, Protocol::V5, client_id, &filters);
        follower.subscribed().await;
        Self {
            poller: Poller::new("tokens"),
            follower,
            last: 0,
            events: 0,
            bookmarks: 0,
            mark: None,
            by_mqtt: 0,
        }
    }

    /// Takes what has come since.
    pub async fn sync(&mut self, gateway: &str) -> bool {
        if self.poller.cursor.is_empty() && !self.read(gateway).await {
            return false;
        }
        let record = self.follower.record();
        for bookmark in &record.bookmarks[self.bookmarks..] {
            let mark = (&bookmark["epoch"], &bookmark["generation"]);
            let mark = (mark.0.as_u64().unwrap(), mark.1.as_u64().unwrap());
            let known = self.mark.replace(mark);
            if known.is_some_and(|known| known != mark) && !self.read(gateway).await {
                self.mark = known;
                return false;
            }
            self.bookmarks += 1;
        }
        for event in &record.events[self.events..] {
            let (epoch, cursor) = parse_token(&self.poller.cursor);
            let gap = event.epoch == epoch && event.previous > self.last.max(cursor);
            if (event.epoch > epoch || gap) && !self.read(gateway).await {
                return false;
            }
            self.offer(event);
            self.events += 1;
        }
        true
    }

    fn offer(&mut self, event: &super::follower::Event) {
        let (epoch, cursor) = parse_token(&self.poller.cursor);
        if event.epoch != epoch || event.position <= self.last.max(cursor) {
            return;
        }
        // Tombstones carry null, which no upsert of these tests does.
        let value = (!event.data.is_null()).then(|| event.data.to_string());
        self.poller.apply(&event.key, event.position, value);
        self.last = event.position;
        self.by_mqtt += 1;
    }

    async fn read(&mut self, gateway: &str) -> bool {
        let before = self.poller.cursor.clone();
        let read = self.poller.sync(gateway).await;
        let anew =
            !before.is_empty() && parse_token(&before).0 != parse_token(&self.poller.cursor).0;
        if anew {
            self.last = 0;
        }
        read
    }
}
