//! One module of a gateway, as simple as can be: a log, its state, and how it comes to clients.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    client::{Bookmark, Change, Connection, Message, Page, StatePage, Told, chance::Chance},
    domain::{Audience, Cursor, Epoch, JsonText, ModuleName, Op, Position, Transport},
};

/// Changes in a page, and items in a page of a snapshot.
const PAGE: usize = 7;

/// What a client of `u1` may see.
const MINE: [&str; 2] = ["*", "u1"];

pub(super) struct Gateway {
    pub(super) module: ModuleName,
    pub(super) epoch: Epoch,
    /// What was numbered in this epoch, and what is left of it.
    pub(super) log: Vec<Change>,
    pub(super) retained_from: u64,
    head: u64,
    lasts: BTreeMap<String, u64>,
    state: BTreeMap<(String, String), Change>,
    pub(super) transport: Transport,
    pub(super) target: &'static str,
    pub(super) version: i64,
    pub(super) generation: u64,
}

impl Gateway {
    pub(super) fn new(module: ModuleName) -> Self {
        Self {
            module,
            epoch: Epoch::FIRST,
            log: Vec::new(),
            retained_from: 1,
            head: 0,
            lasts: BTreeMap::new(),
            state: BTreeMap::new(),
            transport: Transport::Poll,
            target: "a",
            version: 1,
            generation: 1,
        }
    }

    pub(super) fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, Position::new(self.head))
    }

    pub(super) fn append(&mut self, chance: &mut Chance) -> Change {
        self.head += 1;
        let audience = ["*", "u1", "u2"][pick(chance, 3)];
        let key = format!("k{}", pick(chance, 9));
        let is_delete = chance.draw() < 0.1;
        let previous = self.lasts.insert(audience.to_owned(), self.head);
        let numbered = Change {
            epoch: self.epoch,
            position: Position::new(self.head),
            previous: Position::new(previous.unwrap_or_default()),
            audience: Audience::stored(audience),
            key: key.as_str().into(),
            op: if is_delete { Op::Delete } else { Op::Upsert },
            value: Some(JsonText::stored(self.head.to_string())),
        };
        self.log.push(numbered.clone());
        self.state
            .insert((audience.to_owned(), key), numbered.clone());
        numbered
    }

    /// Everything below is pruned.
    pub(super) fn prune(&mut self, from: u64) {
        self.retained_from = self.retained_from.max(from);
        let from = self.retained_from;
        self.log.retain(|change| change.position.get() >= from);
    }

    /// As after a restore: positions leap, and the old ones are not to be had any more.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch = self.epoch.next().unwrap();
        self.head += 1_000;
        self.prune(self.head + 1);
        for change in self.state.values_mut() {
            change.epoch = self.epoch;
        }
    }

    pub(super) fn is_mine(change: &Change) -> bool {
        MINE.contains(&change.audience.as_str())
    }

    /// A page as a replica answers that is `behind` some changes; none = gone.
    pub(super) fn read(&self, after: Option<Cursor>, behind: u64) -> Option<Page> {
        let beginning = Cursor::new(self.epoch, Position::new(self.retained_from - 1));
        let after = after.unwrap_or(beginning);
        let from = after.position.get();
        if after.epoch != self.epoch || from + 1 < self.retained_from || from > self.head {
            return None;
        }
        let end = self.head.saturating_sub(behind).max(from);
        let part = |change: &&Change| (from + 1..=end).contains(&change.position.get());
        let mut changes: Vec<_> = self
            .log
            .iter()
            .filter(part)
            .filter(|change| Self::is_mine(change))
            .cloned()
            .collect();
        let has_more = changes.len() > PAGE;
        changes.truncate(PAGE);
        let last = changes.last().filter(|_| has_more);
        let position = last.map_or(Position::new(end), |change| change.position);
        Some(Page {
            changes,
            cursor: Cursor::new(self.epoch, position),
            has_more,
            is_state: false,
            next_poll: None,
            transport: None,
        })
    }

    /// The answer of a legacy poll.
    pub(super) fn poll(&self, after: Option<Cursor>, behind: u64) -> Page {
        let page = self.read(after, behind);
        let page = page.unwrap_or_else(|| self.poll_state(after));
        Page {
            transport: Some(self.transport),
            ..page
        }
    }

    /// The state above the cursor in the order of positions; a cursor of another epoch counts as none.
    fn poll_state(&self, after: Option<Cursor>) -> Page {
        let ours = after.filter(|after| after.epoch == self.epoch);
        let from = ours.map_or(Position::ZERO, |after| after.position);
        let mine = self.state.values().filter(|change| Self::is_mine(change));
        let mut changes: Vec<_> = mine
            .filter(|change| change.position > from)
            .cloned()
            .collect();
        changes.sort_by_key(|change| change.position);
        let has_more = changes.len() > PAGE;
        changes.truncate(PAGE);
        let last = changes.last().filter(|_| has_more);
        let end = last.map_or(self.cursor(), |last| Cursor::new(self.epoch, last.position));
        Page {
            changes,
            cursor: end,
            has_more,
            is_state: true,
            next_poll: None,
            transport: None,
        }
    }

    /// A page of the snapshot; none = gone.
    pub(super) fn state(&self, page: Option<&str>) -> Option<StatePage> {
        let (cursor, after) = match page {
            None => (self.cursor(), 0),
            Some(page) => {
                let (cursor, after) = page.split_once('/').unwrap();
                (cursor.parse().unwrap(), after.parse().unwrap())
            }
        };
        if cursor.epoch != self.epoch || cursor.position.get() + 1 < self.retained_from {
            return None;
        }
        let mut items: Vec<_> = self
            .state
            .values()
            .filter(|change| Self::is_mine(change))
            .cloned()
            .collect();
        items.retain(|item| item.op == Op::Upsert);
        items.retain(|item| item.position.get() > after && item.position <= cursor.position);
        items.sort_by_key(|item| item.position);
        let more = items.len() > PAGE;
        items.truncate(PAGE);
        let next = items.last().filter(|_| more);
        let next = next.map(|last| format!("{cursor}/{}", last.position));
        Some(StatePage {
            items,
            cursor,
            next,
        })
    }

    pub(super) fn connection(&self) -> Connection {
        Connection {
            target: self.target.to_owned(),
            url: Some(format!("mqtt://{}", self.target)),
            websocket_url: None,
            protocol: "5".to_owned(),
            client_id: "c".to_owned(),
            username: None,
            password: None,
            keep_alive: Duration::from_mins(1),
        }
    }

    pub(super) fn told(&self) -> Told {
        Told {
            transport: self.transport,
            reason: "stage".to_owned(),
            // A topic is the module's name: there is one broker per target, and one client.
            topics: vec![self.module.to_string()],
            target: Some(self.target.to_owned()),
            next_poll: Some(Duration::from_secs(1)),
        }
    }

    pub(super) fn bookmark(&self) -> Message {
        Message::Bookmark(Bookmark {
            module: self.module.clone(),
            epoch: self.epoch,
            generation: self.generation,
            version: self.version,
        })
    }

    /// What a client of `u1` holds that has everything.
    pub(super) fn held(&self) -> BTreeMap<(String, String), String> {
        let is_there = |change: &&Change| Self::is_mine(change) && change.op == Op::Upsert;
        let items = self.state.iter().filter(|(_, change)| is_there(change));
        items
            .map(|(key, change)| (key.clone(), value(change)))
            .collect()
    }
}

pub(super) fn value(change: &Change) -> String {
    change.value.as_ref().unwrap().as_str().to_owned()
}

/// A number below `of`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers"
)]
pub(super) fn pick(chance: &mut Chance, of: usize) -> usize {
    (chance.draw() * of as f64) as usize
}
