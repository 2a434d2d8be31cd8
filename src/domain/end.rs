//! How the polls of a module come to their end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Brownout, Client, Invalid, Members, Micros};

/// What is planned for `sunset`. It is in force at that stage only, so a rollback lifts all of it at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// When the polls are to end; absent = as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Micros>,
    /// When they are refused for a while.
    #[serde(default, skip_serializing_if = "Brownouts::is_empty")]
    pub brownouts: Brownouts,
    /// Whose polls are refused already.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    pub block: Members,
}

impl End {
    /// Whether nothing is planned.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this client's polls are refused already.
    pub fn blocks(&self, client: &Client<'_>) -> bool {
        self.block.name(client)
    }
}

/// Some brown-outs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<Brownout>")]
pub struct Brownouts(Vec<Brownout>);

impl Brownouts {
    /// Most of them.
    pub const MOST: usize = 20;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They as they are written.
    pub fn entries(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(ToString::to_string)
    }

    /// How long yet polls are refused; `None` if they are not now.
    pub fn left(&self, now: Micros) -> Option<Duration> {
        self.0.iter().filter_map(|one| one.left(now)).max()
    }
}

impl TryFrom<Vec<String>> for Brownouts {
    type Error = Invalid;

    fn try_from(texts: Vec<String>) -> Result<Self, Invalid> {
        let (found, most) = (texts.len(), Self::MOST);
        if found > most {
            let why = format!("holds {found} entries, at most {most} are allowed");
            return Err(Invalid::new("brownouts", why));
        }
        let mut all = texts
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable();
        all.dedup();
        Ok(Self(all))
    }
}

impl From<Brownouts> for Vec<Brownout> {
    fn from(brownouts: Brownouts) -> Self {
        brownouts.0
    }
}
