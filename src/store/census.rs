//! The census: who was last seen how, of all replicas and beyond their restarts.
//!
//! Invariants: writing what is known already changes nothing, and the order in which replicas write does not matter; all times are
//! the database's, so replicas tell it how long ago something was.

use std::time::Duration;

use async_trait::async_trait;

use super::{Result, row::Columns};
use crate::domain::{AgentPattern, Micros, ModuleName, Transport};

/// A moment as a replica tells it to the database: so many microseconds before the writing; below 0 = after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ago(i64);

impl Ago {
    /// So many microseconds ago; below 0 = that far ahead.
    pub const fn micros(micros: i64) -> Self {
        Self(micros)
    }

    /// By a clock that says `now`.
    pub(super) const fn at(self, now: i64) -> i64 {
        now.saturating_sub(self.0)
    }
}

/// What a client was told when it polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// To poll.
    Poll,
    /// To take the push.
    Push,
    /// To take the push, for so long that it should no longer poll.
    PushForLong,
}

impl Told {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Poll => 0,
            Self::Push => 1,
            Self::PushForLong => 2,
        }
    }

    const fn of_code(code: i64) -> Self {
        match code {
            0 => Self::Poll,
            1 => Self::Push,
            _ => Self::PushForLong,
        }
    }
}

/// What a replica has seen of one client of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The module.
    pub module: ModuleName,
    /// The client; empty = those who have no id. Not longer than [`CLIENT_ID_BYTES`], without control characters.
    pub client_id: Box<str>,
    /// Its program; empty = it was not said, and what is stored stays. At most [`AGENT_BYTES`], without control characters.
    pub agent: Box<str>,
    /// Whose changes it reads, besides everyone's; absent = it was not said, and what is stored stays.
    pub audience: Option<Box<str>>,
    /// Where it calls from; absent = it is not kept, and what is stored stays.
    pub address: Option<Box<str>>,
    /// When it was seen first.
    pub first_seen: Ago,
    /// When it polled last, and what it was told then.
    pub polled: Option<(Ago, Told)>,
    /// When it gave a sign of push last, and until when that holds.
    pub pushed: Option<(Ago, Ago)>,
}

/// Most bytes of a client id in the census.
pub const CLIENT_ID_BYTES: usize = 128;
/// Most bytes of an agent in the census.
pub const AGENT_BYTES: usize = 256;

impl Sighting {
    pub(super) fn stored(&self, now: i64) -> StoredSighting<'_> {
        let polled_at = self.polled.map_or(0, |(at, _)| at.at(now));
        let pushed_at = self.pushed.map_or(0, |(at, _)| at.at(now));
        StoredSighting {
            first_seen: self.first_seen.at(now),
            last_seen: polled_at.max(pushed_at),
            polled_at,
            told: self.polled.map_or(0, |(_, told)| told.code()),
            pushed_at,
            push_until: self.pushed.map_or(0, |(_, until)| until.at(now)),
            seen: self,
        }
    }
}

/// A sighting as the table holds it.
pub(super) struct StoredSighting<'a> {
    pub(super) seen: &'a Sighting,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) polled_at: i64,
    pub(super) told: i64,
    pub(super) pushed_at: i64,
    pub(super) push_until: i64,
}

/// A client of a module, as all replicas know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownClient {
    /// The module.
    pub module: ModuleName,
    /// The client.
    pub client_id: String,
    /// Its program; empty if it says nothing.
    pub agent: String,
    /// Whose changes it reads, besides everyone's.
    pub audience: Option<String>,
    /// Where it called from last, if that is kept.
    pub address: Option<String>,
    /// When it was seen first.
    pub first_seen: Micros,
    /// When it was seen last.
    pub last_seen: Micros,
    /// When it polled last.
    pub polled_at: Option<Micros>,
    /// What it was told then.
    pub told: Told,
    /// When it gave a sign of push last.
    pub pushed_at: Option<Micros>,
    /// Until when that holds.
    pub push_until: Micros,
}

/// The SQL of [`KnownClient::transport`] being poll.
macro_rules! polls {
    () => {
        "(polled_at > 0 AND (polled_at >= push_until OR (told = 0 AND polled_at > pushed_at)))"
    };
}

/// The SQL of [`KnownClient::fell_back`].
macro_rules! fell_back {
    () => {
        "(pushed_at > 0 AND told = 2 AND polled_at >= push_until)"
    };
}

/// The SQL of the columns of [`client_count()`] before the signs of those without a row, of whom none is counted.
macro_rules! client_counts {
    ($since:expr) => {
        concat!(
            "module, count(CASE WHEN client_id <> '' AND NOT ",
            crate::store::census::polls!(),
            " THEN 1 END), count(CASE WHEN client_id <> '' AND ",
            crate::store::census::polls!(),
            " THEN 1 END), count(CASE WHEN client_id <> '' AND ",
            crate::store::census::fell_back!(),
            " THEN 1 END), count(CASE WHEN client_id <> '' AND pushed_at >= ",
            $since,
            " THEN 1 END)"
        )
    };
}

/// The columns of [`known_client()`].
macro_rules! client_columns {
    () => {
        "module, client_id, agent, audience, address, first_seen, last_seen, polled_at, told, pushed_at, push_until"
    };
}

pub(super) use {client_columns, client_counts, fell_back, polls};

impl KnownClient {
    /// How changes reach it: by push from a sign of it on, until that has lapsed when it polls, or it polls as it was told to.
    pub fn transport(&self) -> Transport {
        let polls = self.polled_at.is_some_and(|polled_at| {
            polled_at >= self.push_until
                || (self.told == Told::Poll && Some(polled_at) > self.pushed_at)
        });
        if polls {
            Transport::Poll
        } else {
            Transport::Push
        }
    }

    /// Whether it was on push and polls again, although it has been told to push for long enough.
    pub fn fell_back(&self) -> bool {
        self.pushed_at.is_some()
            && self.told == Told::PushForLong
            && self.polled_at >= Some(self.push_until)
    }
}

/// [`KnownClient`] from the columns of `client_columns!`.
pub(super) fn known_client(row: &impl Columns) -> sqlx::Result<KnownClient> {
    let time = |column| row.integer(column).map(Micros::new);
    let sometime = |column| time(column).map(|at| Some(at).filter(|at| at.get() > 0));
    Ok(KnownClient {
        module: super::row::module(row.text(0)?)?,
        client_id: row.text(1)?.to_owned(),
        agent: row.text(2)?.to_owned(),
        audience: row.optional_text(3)?.map(str::to_owned),
        address: row.optional_text(4)?.map(str::to_owned),
        first_seen: time(5)?,
        last_seen: time(6)?,
        polled_at: sometime(7)?,
        told: Told::of_code(row.integer(8)?),
        pushed_at: sometime(9)?,
        push_until: time(10)?,
    })
}

/// How many clients of a module that have an id were seen how. Each counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCount {
    /// The module.
    pub module: ModuleName,
    /// Those on push.
    pub push: u64,
    /// Those who poll.
    pub poll: u64,
    /// Of these, those who fell back from push.
    pub fell_back: u64,
    /// Of all of them, those who gave a sign of push, whatever they do now.
    pub pushed: u64,
    /// Whether some polled for whom the row without an id stands.
    pub unnamed: bool,
    /// False if some who poll have no row of their own: they name no id, or some replica has seen more than it remembers.
    pub is_exact: bool,
}

/// [`ClientCount`] from `module, push, poll, fell_back, pushed`, and the number of signs of those without a row: rows without an id, and
/// sketches.
pub(super) fn client_count(row: &impl Columns) -> sqlx::Result<ClientCount> {
    let count = |column| row.integer(column).map(i64::unsigned_abs);
    let unnamed = count(5)? > 0;
    Ok(ClientCount {
        module: super::row::module(row.text(0)?)?,
        push: count(1)?,
        poll: count(2)?,
        fell_back: count(3)?,
        pushed: count(4)?,
        unnamed,
        is_exact: !unnamed && count(6)? == 0,
    })
}

/// Who still polls a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pollers {
    /// How many clients.
    pub total: u64,
    /// How many agents they have.
    pub agents_total: u64,
    /// False if there may be more: a replica has seen more clients of the module that poll than it remembers, or some without an id. All of
    /// those are one row, without an id.
    pub is_exact: bool,
    /// Some of the clients, in the order of their ids.
    pub clients: Vec<KnownClient>,
    /// The agents that most of them have, those first.
    pub agents: Vec<PollingAgent>,
}

/// The clients of one agent that poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollingAgent {
    /// The agent; empty = they say nothing.
    pub agent: String,
    /// How many.
    pub clients: u64,
    /// When the last of them polled.
    pub polled_at: Micros,
}

/// `total, agents_total` and the number of signs of those without a row, without names.
pub(super) fn unnamed_pollers(row: &impl Columns) -> sqlx::Result<Pollers> {
    Ok(Pollers {
        total: row.integer(0)?.unsigned_abs(),
        agents_total: row.integer(1)?.unsigned_abs(),
        is_exact: row.integer(2)? == 0,
        ..Pollers::default()
    })
}

/// [`PollingAgent`] from `agent, count, polled_at`.
pub(super) fn polling_agent(row: &impl Columns) -> sqlx::Result<PollingAgent> {
    Ok(PollingAgent {
        agent: row.text(0)?.to_owned(),
        clients: row.integer(1)?.unsigned_abs(),
        polled_at: Micros::new(row.integer(2)?),
    })
}

/// Which clients are wanted.
#[derive(Debug, Clone, Default)]
pub struct ClientFilter {
    /// Of which module; absent = of all.
    pub module: Option<ModuleName>,
    /// On which transport; absent = on any.
    pub transport: Option<Transport>,
    /// With such an agent; absent = with any.
    pub agent: Option<AgentPattern>,
    /// Seen within this time.
    pub within: Duration,
    /// Behind this module and client id; absent = from the beginning.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: u32,
}

impl ClientFilter {
    /// From which module and client on. No id holds a control character, so all that are behind one are not below it with the least of them.
    pub(super) fn from(&self) -> (&str, String) {
        let begin = self.module.as_ref().map_or("", ModuleName::as_str);
        match &self.after {
            None => (begin, String::new()),
            Some((module, client)) => (module, format!("{client}\u{1}")),
        }
    }

    /// The last module that is wanted. No name of a module holds a `~`, and all are below it.
    pub(super) fn through(&self) -> &str {
        self.module.as_ref().map_or("~", ModuleName::as_str)
    }

    /// The transport's word; empty = any.
    pub(super) fn transport(&self) -> &'static str {
        self.transport.map_or("", Transport::as_str)
    }

    /// The agent for `LIKE … ESCAPE '!'`.
    pub(super) fn agent_like(&self) -> Option<String> {
        let escaped = |c: char| match c {
            '*' => "%".to_owned(),
            '%' | '_' | '!' => format!("!{c}"),
            c => c.to_string(),
        };
        let agent = self.agent.as_ref();
        agent.map(|agent| agent.to_string().chars().map(escaped).collect())
    }

    /// The agent for SQLite's `GLOB`, which unlike its `LIKE` tells `a` from `A`.
    pub(super) fn agent_glob(&self) -> Option<String> {
        let escaped = |c: char| match c {
            '?' | '[' => format!("[{c}]"),
            c => c.to_string(),
        };
        let agent = self.agent.as_ref();
        agent.map(|agent| agent.to_string().chars().map(escaped).collect())
    }
}

/// Whom a sketch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crowd {
    /// Clients that polled.
    Poll,
    /// Clients on push.
    Push,
    /// Those without an id, told apart by where they call from and what they are.
    Unnamed,
    /// Nobody: the sign of a replica that has seen more clients with an id than it remembers, for which all tell of theirs.
    Above,
}

impl Crowd {
    /// Those that hold somebody.
    pub const HELD: [Self; 3] = [Self::Poll, Self::Push, Self::Unnamed];

    /// The word in the database. A version that knows only the first two takes the others for clients that polled.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Push => "push",
            Self::Unnamed => "unnamed",
            Self::Above => "above",
        }
    }
}

impl From<Transport> for Crowd {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Poll => Self::Poll,
            Transport::Push => Self::Push,
        }
    }
}

/// The sketch of all clients that one replica has seen so of a module in a slice of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// The module.
    pub module: ModuleName,
    /// Whom it holds.
    pub crowd: Crowd,
    /// The replica.
    pub instance: String,
    /// When the slice began.
    pub slice: Micros,
    /// The registers of its `HyperLogLog`.
    pub registers: Vec<u8>,
}

/// [`Sketch`] from `module, transport, instance, slice`, and its registers. The transport is a crowd.
pub(super) fn sketch(row: &impl Columns, registers: Vec<u8>) -> sqlx::Result<Sketch> {
    let crowd = match row.text(1)? {
        "push" => Crowd::Push,
        "unnamed" => Crowd::Unnamed,
        "above" => Crowd::Above,
        _ => Crowd::Poll,
    };
    Ok(Sketch {
        module: super::row::module(row.text(0)?)?,
        crowd,
        instance: row.text(2)?.to_owned(),
        slice: Micros::new(row.integer(3)?),
        registers,
    })
}

/// The table of clients.
#[async_trait]
pub trait Census {
    /// Writes what was seen, in one transaction. What is known already and newer stays. Who calls bounds the batch, in which no client of a
    /// module is named twice.
    async fn note_clients(&self, seen: &[Sighting]) -> Result<()>;

    /// How many clients of each module were seen `within` this time, and how. It reads the whole table: who asks keeps the answer.
    async fn count_clients(&self, within: Duration) -> Result<Vec<ClientCount>>;

    /// Who has polled a module `within` this time, at most so many clients and agents by name.
    async fn pollers(&self, module: &ModuleName, within: Duration, limit: u32) -> Result<Pollers>;

    /// Clients in the order of module and id.
    async fn clients(&self, filter: &ClientFilter) -> Result<Vec<KnownClient>>;

    /// Deletes clients that were not seen for so long, at most so many at once. Returns how many.
    async fn forget_clients(&self, unseen_for: Duration, limit: u32) -> Result<u64>;

    /// Forgets stored addresses, of at most so many clients at once. Returns of how many.
    async fn forget_addresses(&self, limit: u32) -> Result<u64>;

    /// Writes sketches in the place of older ones of the same slices.
    async fn write_sketches(&self, sketches: &[Sketch]) -> Result<()>;

    /// The sketches of all replicas from this time on.
    async fn sketches(&self, since: Micros) -> Result<Vec<Sketch>>;

    /// Deletes sketches of before.
    async fn forget_sketches(&self, before: Micros) -> Result<u64>;
}
