//! What the application holds of a module.

use std::collections::BTreeMap;

use super::gateway::{Gateway, value};
use crate::{
    client::{By, Change},
    domain::{Cursor, Op},
};

#[derive(Default)]
pub(super) struct Store {
    held: BTreeMap<(String, String), String>,
    /// Since it was told to forget.
    applied: Vec<Change>,
    lasts: BTreeMap<String, u64>,
    /// Some of it came as state, without what was before.
    has_state: bool,
    /// The end of the log when a new subscription stood: nothing pushed is applied before it was read.
    pub(super) stood_at: Option<Cursor>,
}

impl Store {
    pub(super) fn apply(&mut self, change: Change, by: By) {
        let audience = change.audience.as_str().to_owned();
        let slot = (audience.clone(), change.key.to_string());
        let before = self.lasts.insert(audience, change.position.get());
        if by == By::State {
            self.has_state = true;
        } else {
            assert!(
                before < Some(change.position.get()),
                "again or late: {change:?}"
            );
        }
        match change.op {
            Op::Upsert => self.held.insert(slot, value(&change)),
            Op::Delete => self.held.remove(&slot),
        };
        self.applied.push(change);
    }

    pub(super) fn forget(&mut self) {
        *self = Self {
            has_state: true,
            stood_at: self.stood_at,
            ..Self::default()
        };
    }

    /// It is what the gateway has, and the log itself if none of it came as state.
    pub(super) fn assert_is(&self, gateway: &Gateway) {
        assert_eq!(self.held, gateway.held());
        if !self.has_state {
            let mut applied = self.applied.clone();
            applied.sort_by_key(|change| change.position);
            let log: Vec<_> = gateway
                .log
                .iter()
                .filter(|change| Gateway::is_mine(change))
                .cloned()
                .collect();
            assert_eq!(applied, log);
        }
    }
}
