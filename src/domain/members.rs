//! A list of clients, each named by one thing that is known of it.
//!
//! Invariant: a list is bounded and holds no entry twice; what it costs to look a client up does not grow with the clients that are named by
//! id or audience.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Client, Invalid, Network, agent::AgentPattern};

/// One entry: a client, or all that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// `client:terminal-0001`: the client of this id.
    Client(Box<str>),
    /// `audience:u1`: those who read its changes.
    Audience(Box<str>),
    /// `agent:Terminal/3.*`: those whose program is such a one.
    Agent(AgentPattern),
    /// `network:10.1.0.0/16`: those who call from there.
    Network(Network),
}

/// What the entries look like, for those who wrote another one.
const FORMS: &str =
    "client:ID, audience:NAME, agent:PATTERN (with * for anything) or network:ADDRESS/BITS";

/// Most bytes of an entry.
const ENTRY_BYTES: usize = 160;

impl FromStr for Member {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = |why: String| {
            let shown: String = text.chars().take(ENTRY_BYTES).collect();
            Invalid::new("entry", format!("`{}` {why}", shown.escape_debug()))
        };
        if text.len() > ENTRY_BYTES {
            let why = format!(
                "has {} bytes, at most {ENTRY_BYTES} are allowed",
                text.len()
            );
            return Err(refused(why));
        }
        if text.chars().any(char::is_control) {
            return Err(refused("must not contain control characters".to_owned()));
        }
        let parsed = match text.split_once(':') {
            Some((_, "")) => return Err(refused("names nobody".to_owned())),
            Some(("client", id)) => Ok(Self::Client(id.into())),
            Some(("audience", "*")) => {
                return Err(refused(
                    "is everybody: give 100 percent for that".to_owned(),
                ));
            }
            Some(("audience", name)) => Ok(Self::Audience(name.into())),
            Some(("agent", pattern)) => pattern.parse().map(Self::Agent),
            Some(("network", range)) => range.parse().map(Self::Network),
            _ => return Err(refused(format!("must be {FORMS}"))),
        };
        parsed.map_err(|invalid| Invalid::new("entry", invalid.why))
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Audience(name) => write!(f, "audience:{name}"),
            Self::Agent(pattern) => write!(f, "agent:{pattern}"),
            Self::Network(range) => write!(f, "network:{range}"),
        }
    }
}

/// The entries, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Members {
    clients: BTreeSet<Box<str>>,
    audiences: BTreeSet<Box<str>>,
    agents: BTreeSet<AgentPattern>,
    networks: BTreeSet<Network>,
}

impl Members {
    /// Most entries. Each module's lists are read with its flags, by every replica at every tick: masses are named by audience,
    /// agent or network.
    pub const MOST: usize = 200;

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.clients.len() + self.audiences.len() + self.agents.len() + self.networks.len()
    }

    /// Whether one of the entries is about this client.
    pub fn name(&self, client: &Client<'_>) -> bool {
        let mut audiences = client.audiences.iter();
        self.clients.contains(client.id)
            || audiences.any(|audience| self.audiences.contains(audience.as_str()))
            || self.agents.iter().any(|agent| agent.matches(client.agent))
            || client
                .address
                .is_some_and(|address| self.networks.iter().any(|range| range.contains(address)))
    }

    /// Whether each entry of another list is one of this.
    pub fn holds(&self, other: &Self) -> bool {
        self.clients.is_superset(&other.clients)
            && self.audiences.is_superset(&other.audiences)
            && self.agents.is_superset(&other.agents)
            && self.networks.is_superset(&other.networks)
    }

    /// The entries as they are written, in a lasting order.
    pub fn entries(&self) -> impl Iterator<Item = String> + '_ {
        let clients = self.clients.iter().cloned().map(Member::Client);
        let audiences = self.audiences.iter().cloned().map(Member::Audience);
        let agents = self.agents.iter().cloned().map(Member::Agent);
        let networks = self.networks.iter().copied().map(Member::Network);
        let all = clients.chain(audiences).chain(agents).chain(networks);
        all.map(|member| member.to_string())
    }

    fn add(&mut self, member: Member) {
        match member {
            Member::Client(id) => self.clients.insert(id),
            Member::Audience(name) => self.audiences.insert(name),
            Member::Agent(pattern) => self.agents.insert(pattern),
            Member::Network(range) => self.networks.insert(range),
        };
    }
}

impl TryFrom<Vec<String>> for Members {
    type Error = Invalid;

    fn try_from(entries: Vec<String>) -> Result<Self, Invalid> {
        let mut members = Self::default();
        for entry in entries {
            members.add(entry.parse()?);
        }
        if members.len() > Self::MOST {
            let (most, found) = (Self::MOST, members.len());
            let why = format!("holds {found} entries, at most {most} are allowed");
            return Err(Invalid::new("entries", why));
        }
        Ok(members)
    }
}

impl From<Members> for Vec<String> {
    fn from(members: Members) -> Self {
        members.entries().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Audience;

    fn members(entries: &[&str]) -> Result<Members, Invalid> {
        let entries: Vec<String> = entries.iter().copied().map(str::to_owned).collect();
        entries.try_into()
    }

    #[test]
    fn a_client_is_named_by_anything_that_is_known_of_it() {
        let audiences = [Audience::everyone(), Audience::stored("u1")];
        let client = Client {
            id: "t:1",
            audiences: &audiences,
            agent: b"Terminal/3.2",
            address: Some([10, 1, 2, 3].into()),
        };
        for entry in [
            "client:t:1",
            "audience:u1",
            "agent:*/3.*",
            "network:10.1.0.0/16",
        ] {
            assert!(members(&[entry]).unwrap().name(&client), "{entry}");
            let nobody = Client::named("t2");
            assert!(!members(&[entry]).unwrap().name(&nobody), "{entry}");
        }
        for entry in ["client:t", "audience:U1", "agent:3", "network:10.2.0.0/16"] {
            assert!(!members(&[entry]).unwrap().name(&client), "{entry}");
        }
        assert!(!members(&[]).unwrap().name(&client));
    }

    #[test]
    fn an_entry_that_means_nothing_is_refused() {
        for (entry, why) in [
            ("terminal-1", "`terminal-1` must be client:ID"),
            ("Client:x", "must be client:ID"),
            ("client:", "names nobody"),
            ("audience:*", "is everybody"),
            ("agent:", "names nobody"),
            ("network:10.0.0.1/8", "behind the first 8"),
            ("client:\u{7}", "control characters"),
        ] {
            let invalid = members(&["client:fine", entry]).unwrap_err();
            assert!(invalid.to_string().contains(why), "{entry}: {invalid}");
        }
        assert!(members(&[&format!("client:{}", "x".repeat(160))]).is_err());
        let many: Vec<String> = (0..=Members::MOST).map(|n| format!("client:{n}")).collect();
        assert!(Members::try_from(many[1..].to_vec()).is_ok());
        assert!(Members::try_from(many).is_err());
    }

    #[test]
    fn a_list_is_kept_as_it_is_written() {
        let entries = [
            "client:b",
            "client:a",
            "network:10.0.0.0/8",
            "agent:x*",
            "client:a",
        ];
        let list = members(&entries).unwrap();
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(
            json,
            r#"["client:a","client:b","agent:x*","network:10.0.0.0/8"]"#
        );
        assert_eq!(serde_json::from_str::<Members>(&json).unwrap(), list);
        assert_eq!(list.len(), 4);
    }
}
