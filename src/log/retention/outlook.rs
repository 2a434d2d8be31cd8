//! What a pass would do, without doing it.

use std::time::Duration;

use super::{Retention, Survey, decision::Decision, span};
use crate::{
    domain::{ModuleName, Position},
    store::{self, Which, Window},
};

/// What would leave a log now, and who holds back what else would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Rows that are pruned by age or count.
    pub pruned: u64,
    /// All rows up to here.
    pub prune_through: Position,
    /// Rows above them that later changes of their keys have replaced.
    pub superseded: u64,
    /// Such rows up to here.
    pub compact_through: Position,
    /// Whether all rows were counted; a huge log is counted in part.
    pub counted: bool,
    /// The target that holds back more, if one does.
    pub held_back: Option<HeldBack>,
}

/// A target that has not got what would otherwise go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Its name.
    pub target: String,
    /// What it has acknowledged; absent while it has no cursor.
    pub position: Option<Position>,
    /// Positions of the log above that.
    pub behind: u64,
    /// Age of the first of them.
    pub lag: Duration,
}

/// Rows that are looked at before the counting is given up, and how many in one statement.
const COUNTED: u64 = 2_000_000;
const COUNTED_AT_ONCE: u32 = 20_000;

impl Retention {
    /// What a pass over a module would do now. `None` for a module that is not configured.
    pub async fn outlook(&self, module: &ModuleName) -> store::Result<Option<Outlook>> {
        let survey = self.survey().await?;
        let Some(decision) = self.decide(module, &survey).await? else {
            return Ok(None);
        };
        let mut room = COUNTED;
        let (prune, compact) = (decision.prune_through, decision.compact_through);
        let pruned = self
            .count(module, Position::ZERO, prune, Which::All, &mut room)
            .await?;
        let superseded = self
            .count(module, prune.next(), compact, Which::Superseded, &mut room)
            .await?;
        Ok(Some(Outlook {
            pruned,
            prune_through: prune,
            superseded,
            compact_through: compact,
            counted: room > 0,
            held_back: self.held_back(module, &survey, &decision).await?,
        }))
    }

    async fn count(
        &self,
        module: &ModuleName,
        mut from: Position,
        through: Position,
        which: Which,
        room: &mut u64,
    ) -> store::Result<u64> {
        let mut rows = 0;
        while from <= through && *room > 0 {
            let limit = COUNTED_AT_ONCE;
            let swept = self
                .store
                .count_rows(Window {
                    limit,
                    ..self.window(module, from, through, which)
                })
                .await?;
            rows += swept.meant;
            *room = room.saturating_sub(swept.seen);
            match swept.last {
                Some(last) if swept.seen >= u64::from(limit) => from = last.next(),
                _ => break,
            }
        }
        Ok(rows)
    }

    pub(super) async fn held_back(
        &self,
        module: &ModuleName,
        survey: &Survey,
        decision: &Decision,
    ) -> store::Result<Option<HeldBack>> {
        let (Some(target), Some(head)) = (&decision.held_by, survey.heads.get(module)) else {
            return Ok(None);
        };
        let has = target.position().max(head.retained_from.before());
        let next = self.store.first_above(module, has).await?;
        Ok(Some(HeldBack {
            target: target.name.clone(),
            position: target.acknowledged,
            behind: span(has, head.head),
            lag: next.map_or(Duration::ZERO, |next| next.age),
        }))
    }
}
