//! What is remembered of a client beside its id and times, so that an act can say beforehand whom it would move.
//!
//! Invariant: what is here can be written to every database: it is UTF-8 without control characters, and no longer than its bound.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    domain::{Audience, Client},
    store::AGENT_BYTES,
};

#[derive(Debug, Clone)]
pub(super) struct About {
    /// Empty = it says nothing.
    pub(super) agent: Arc<str>,
    pub(super) audience: Own,
    pub(super) address: Option<IpAddr>,
}

/// Whose changes a client reads besides everyone's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    Nobodys,
    /// Those of the audience that has its id's name.
    Namesakes,
    Of(Box<str>),
}

/// The agents of all clients: many have the same one.
#[derive(Debug)]
pub(super) struct Agents {
    known: Mutex<HashSet<Arc<str>>>,
    bytes: usize,
}

/// More agents than that, and further ones are not kept: somebody sends another one each time.
const MOST_AGENTS: usize = 10_000;

/// What stands for an agent that is not kept.
const OTHER: &str = "(one of too many)";

/// A longer audience than that cannot be written.
const AUDIENCE_BYTES: usize = 1_024;

impl Agents {
    /// Agents of which at most so many bytes are kept.
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            known: Mutex::default(),
            bytes: bytes.min(AGENT_BYTES),
        }
    }

    /// The text that is kept of an agent, shared by all that have it.
    pub(super) fn keep(&self, agent: &[u8]) -> Arc<str> {
        let text = clean(agent, self.bytes);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.get(&*text) {
            return Arc::clone(shared);
        }
        let text = if known.len() < MOST_AGENTS {
            text
        } else {
            OTHER.to_owned()
        };
        let shared: Arc<str> = text.into();
        known.insert(Arc::clone(&shared));
        shared
    }

    /// Drops those that no client has any more.
    pub(super) fn tidy(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|agent| Arc::strong_count(agent) > 1);
    }
}

/// The first bytes of it, cut between characters; what cannot be written is a space.
fn clean(agent: &[u8], most: usize) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(&agent[..agent.len().min(most)]).chars() {
        let c = if c.is_control() { ' ' } else { c };
        if text.len() + c.len_utf8() > most {
            break;
        }
        text.push(c);
    }
    text
}

impl About {
    pub(super) fn of(client: &Client<'_>, agents: &Agents) -> Self {
        Self {
            agent: agents.keep(client.agent),
            audience: match own(client).map(Audience::as_str) {
                None => Own::Nobodys,
                Some(own) if own == client.id => Own::Namesakes,
                Some(own) => Own::Of(own.into()),
            },
            address: client.address,
        }
    }

    /// The audience by its name.
    pub(super) fn audience<'a>(&'a self, id: &'a str) -> Option<&'a str> {
        match &self.audience {
            Own::Nobodys => None,
            Own::Namesakes => Some(id),
            Own::Of(own) => Some(own),
        }
    }
}

/// The audience besides everyone.
pub(super) fn own<'a>(client: &Client<'a>) -> Option<&'a Audience> {
    let own = client.audiences.iter().find(|one| !one.is_everyone());
    own.filter(|own| own.as_str().len() <= AUDIENCE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_can_be_written_whatever_it_is() {
        for (agent, kept) in [
            (&b"Terminal/3"[..], "Terminal/3"),
            (b"", ""),
            (b"a\0b\nc", "a b c"),
            ("gr\u{fc}n\u{fc}".as_bytes(), "gr\u{fc}n"),
            (b"\xff\xff", "\u{fffd}\u{fffd}"),
            (b"0123456789 and so on", "0123456789"),
        ] {
            let most = if agent.starts_with(b"gr") { 6 } else { 10 };
            assert_eq!(clean(agent, most), kept);
        }
    }

    #[test]
    fn agents_are_shared_and_bounded() {
        let agents = Agents::of(64);
        let one = agents.keep(b"Terminal/1");
        assert!(Arc::ptr_eq(&one, &agents.keep(b"Terminal/1")));
        for n in 0..2 * MOST_AGENTS {
            agents.keep(n.to_string().as_bytes());
        }
        assert_eq!(&*agents.keep(b"one more"), OTHER);
        agents.tidy();
        assert_eq!(&*agents.keep(b"one more"), "one more");
    }
}
