//! Which target the clients of a module are told to connect to.
//!
//! Invariants: a client is moved by one hash in all modules, so that it normally needs one connection; the clients that
//! are told a target at p percent are among those at q for p < q, so taking back a part removes the last added first.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BasisPoints, cohort};

/// What stands in the place of a module's name when the hash is taken.
const ALL_MODULES: &str = "route";

/// One target for everybody, or two while clients are on their way from one to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// Whom all are told who are not on their way; absent = the first configured target that gets the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The share that is told another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
}

/// Clients on their way to another target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moving {
    /// Where they go.
    pub target: String,
    /// How many, more than none and less than all.
    pub basis_points: BasisPoints,
}

/// Why clients cannot be routed as asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// Two moves at once would tell nobody where the rest is.
    #[error(
        "{share} % of the clients are told {moving} already: take it to 100 % or back to 0 % first"
    )]
    OtherUnderWay {
        /// Where clients are on their way to.
        moving: String,
        /// How many.
        share: BasisPoints,
    },
    /// A share of those who are not moved anywhere.
    #[error(
        "{target} is what clients are told anyway: name the target that they go to, or take this one to 100 %"
    )]
    There {
        /// The target.
        target: String,
    },
}

impl Routing {
    /// What all are told who are not on their way. `first` is the first configured target that gets the module.
    pub fn base<'a>(&'a self, first: &'a str) -> &'a str {
        self.target.as_deref().unwrap_or(first)
    }

    /// What a client is told. One without an id is never on its way: it could not be told apart.
    pub fn target<'a>(&'a self, first: &'a str, client_id: &str) -> &'a str {
        match &self.moving {
            Some(moving) if moving.takes(client_id) => &moving.target,
            _ => self.base(first),
        }
    }

    /// The routing after a share of the clients was told `target`.
    pub fn toward(
        &self,
        first: &str,
        target: &str,
        share: BasisPoints,
    ) -> Result<Self, Unroutable> {
        let base = self.base(first);
        if share == BasisPoints::ALL {
            return Ok(Self {
                target: Some(target.to_owned()),
                moving: None,
            });
        }
        if target == base {
            let target = target.to_owned();
            return Err(Unroutable::There { target });
        }
        match &self.moving {
            Some(moving) if moving.target != target => Err(Unroutable::OtherUnderWay {
                moving: moving.target.clone(),
                share: moving.basis_points,
            }),
            _ => Ok(Self {
                // Said aloud: the order of the configuration is not to move those who stay.
                target: Some(base.to_owned()),
                moving: Moving::of(target, share),
            }),
        }
    }

    /// The targets that are named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let moving = self.moving.as_ref().map(|moving| &*moving.target);
        self.target.as_deref().into_iter().chain(moving)
    }

    /// Without the targets that are not `known`.
    #[must_use]
    pub fn among(&self, known: impl Fn(&str) -> bool) -> Self {
        let moving = self.moving.clone();
        Self {
            target: self.target.clone().filter(|target| known(target)),
            moving: moving.filter(|moving| known(&moving.target)),
        }
    }

    /// Each target with the share of clients that is told it.
    pub fn shares<'a>(&'a self, first: &'a str) -> Vec<(&'a str, BasisPoints)> {
        let moving = self.moving.as_ref();
        let moving = moving.map(|moving| (&*moving.target, moving.basis_points));
        let rest = BasisPoints::ALL.minus(moving.map_or_else(BasisPoints::default, |(_, p)| p));
        [(self.base(first), rest)]
            .into_iter()
            .chain(moving)
            .collect()
    }
}

/// For people: `old, 5 % new`; `-` if nobody has said anything.
impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.target.as_deref().unwrap_or("-"))?;
        match &self.moving {
            Some(moving) => write!(f, ", {} % {}", moving.basis_points, moving.target),
            None => Ok(()),
        }
    }
}

impl Moving {
    fn of(target: &str, share: BasisPoints) -> Option<Self> {
        (share > BasisPoints::default()).then(|| Self {
            target: target.to_owned(),
            basis_points: share,
        })
    }

    fn takes(&self, client_id: &str) -> bool {
        !client_id.is_empty() && cohort::bucket(ALL_MODULES, client_id) < self.basis_points.get()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(percent: u16) -> BasisPoints {
        BasisPoints::new(percent * 100).unwrap()
    }

    fn clients() -> impl Iterator<Item = String> {
        (0..2_000).map(|n| format!("terminal-{n:04}"))
    }

    #[test]
    fn clients_move_in_steps_and_back() {
        let none = Routing::default();
        assert_eq!(none.target("old", "x"), "old");
        let some = none.toward("old", "new", percent(5)).unwrap();
        assert_eq!(
            some.shares("?"),
            [("old", percent(95)), ("new", percent(5))]
        );
        assert_eq!(some.to_string(), "old, 5 % new");
        assert_eq!(some.target("?", ""), "old");
        let more = some.toward("old", "new", percent(60)).unwrap();
        let all = more.toward("old", "new", percent(100)).unwrap();
        assert_eq!(all.shares("old"), [("new", percent(100))]);
        assert_eq!(all.target("old", "x"), "new");
        let back = more.toward("old", "old", percent(100)).unwrap();
        assert_eq!(back.shares("?"), [("old", percent(100))]);
        assert_eq!(more.toward("old", "new", percent(0)).unwrap(), back);
    }

    #[test]
    fn a_share_is_the_one_of_the_hash() {
        let some = Routing::default().toward("old", "new", percent(5)).unwrap();
        let moved: Vec<_> = clients()
            .filter(|id| some.target("old", id) == "new")
            .collect();
        let hashed = clients().filter(|id| cohort::hash("route", id) % 100 < 5);
        assert_eq!(moved, hashed.collect::<Vec<_>>());
        assert!((60..140).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let some = Routing::default().toward("old", "new", percent(5)).unwrap();
        let there = some.toward("old", "old", percent(50)).unwrap_err();
        let other = some.toward("old", "third", percent(50)).unwrap_err();
        insta::assert_snapshot!(there, @"old is what clients are told anyway: name the target that they go to, or take this one to 100 %");
        insta::assert_snapshot!(other, @"5 % of the clients are told new already: take it to 100 % or back to 0 % first");
    }

    proptest! {
        #[test]
        fn a_larger_share_holds_the_smaller(p in 0..=10_000_u16, q in 0..=10_000_u16, id in ".*") {
            let (small, large) = (p.min(q), p.max(q));
            let at = |share| Routing::default().toward("old", "new", BasisPoints::new(share).unwrap()).unwrap();
            let (small, large) = (at(small), at(large));
            if small.target("old", &id) == "new" {
                prop_assert_eq!(large.target("old", &id), "new");
            }
        }
    }
}
