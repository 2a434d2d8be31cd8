//! How far a log may go. Pure.

use std::time::Duration;

use super::{Policy, span};
use crate::{domain::Position, store::Head};

/// A configured target, as far as the database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetState {
    pub(super) name: String,
    /// `None` while nobody has made its cursor: then it has nothing.
    pub(super) acknowledged: Option<Position>,
}

impl TargetState {
    pub(super) fn position(&self) -> Position {
        self.acknowledged.unwrap_or(Position::ZERO)
    }
}

/// What goes, and who holds back what else should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// Age of the oldest change that the log promises to hold.
    pub(super) oldest: Duration,
    /// All rows up to here go.
    pub(super) prune_through: Position,
    /// Up to here rows go that a later change of their key has replaced.
    pub(super) compact_through: Position,
    /// The slowest target, if it holds anything back.
    pub(super) held_by: Option<TargetState>,
    /// Targets that have not got all that goes, and how many changes they lose now: none, if what they
    /// lack went earlier.
    pub(super) forced: Vec<(String, u64)>,
}

/// Up to where the policy alone would prune. `aged` is the last position that is older than its age.
pub(super) fn wanted(head: &Head, policy: Policy, aged: Option<Position>) -> Position {
    let surplus = |most: u64| Position::new(head.head.get().saturating_sub(most));
    let by_count = policy.changes.map(surplus);
    // The newest row stays: it is where the log has got to, and the last of its channel.
    by_count
        .max(aged)
        .unwrap_or(Position::ZERO)
        .min(head.head.before())
}

/// Where `wanted` meets the targets. `expired` is the last position that waits for nobody any more.
pub(super) fn decide(
    head: &Head,
    policy: Policy,
    wanted: Position,
    targets: &[TargetState],
    expired: Option<Position>,
) -> Decision {
    let gone = head.retained_from.before();
    let slowest = targets.iter().min_by_key(|target| target.position());
    let hold = slowest.map_or(head.head, TargetState::position);
    let prune_through = wanted.min(hold.max(expired.unwrap_or(Position::ZERO)));
    let prune_through = prune_through.max(gone);
    let compactable = if policy.last_value {
        head.head
    } else {
        Position::ZERO
    };
    let compact_through = compactable.min(hold);
    let holds = prune_through < wanted || compact_through < compactable;
    let loses = |target: &TargetState| {
        let lost = span(target.position().max(gone), prune_through);
        (target.position() < prune_through).then(|| (target.name.clone(), lost))
    };
    Decision {
        oldest: Duration::ZERO,
        prune_through,
        compact_through,
        held_by: slowest.filter(|_| holds).cloned(),
        forced: targets.iter().filter_map(loses).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Micros};

    const BY_COUNT: Policy = Policy {
        age: None,
        changes: Some(10),
        last_value: false,
        state: true,
    };
    const BY_AGE: Policy = Policy {
        age: Some(Duration::from_secs(1)),
        changes: None,
        ..BY_COUNT
    };

    fn at(position: u64) -> Position {
        Position::new(position)
    }

    fn head(head: u64, retained_from: u64) -> Head {
        Head {
            module: "m".parse().unwrap(),
            epoch: Epoch::FIRST,
            head: at(head),
            retained_from: at(retained_from),
            stateless_from: None,
            compacted_through: Position::ZERO,
            sequenced_through: Micros::new(0),
            lease_holder: None,
            lease_vacant: false,
        }
    }

    fn target(name: &str, acknowledged: Option<u64>) -> TargetState {
        TargetState {
            name: name.to_owned(),
            acknowledged: acknowledged.map(at),
        }
    }

    #[test]
    fn the_policy_wants_what_either_bound_says_but_never_the_newest() {
        assert_eq!(wanted(&head(100, 1), BY_COUNT, None), at(90));
        assert_eq!(wanted(&head(5, 1), BY_COUNT, None), at(0));
        assert_eq!(wanted(&head(100, 1), BY_COUNT, Some(at(95))), at(95));
        assert_eq!(wanted(&head(100, 1), BY_COUNT, Some(at(3))), at(90));
        assert_eq!(wanted(&head(100, 1), BY_AGE, Some(at(100))), at(99));
        assert_eq!(wanted(&head(0, 1), BY_AGE, None), at(0));
    }

    #[test]
    fn the_slowest_target_holds_until_changes_expire() {
        let log = head(100, 11);
        let targets = [target("quick", Some(100)), target("slow", Some(40))];
        let held = decide(&log, BY_COUNT, at(90), &targets, Some(at(20)));
        assert_eq!(held.prune_through, at(40));
        assert_eq!(held.held_by, Some(targets[1].clone()));
        assert_eq!(held.forced, []);
        let forced = decide(&log, BY_COUNT, at(90), &targets, Some(at(60)));
        assert_eq!(forced.prune_through, at(60));
        assert_eq!(forced.forced, [("slow".to_owned(), 20)]);
        let free = decide(&log, BY_COUNT, at(90), &targets[..1], None);
        assert_eq!((free.prune_through, free.held_by), (at(90), None));
    }

    #[test]
    fn a_target_without_a_cursor_holds_everything() {
        let decision = decide(
            &head(100, 11),
            BY_COUNT,
            at(90),
            &[target("new", None)],
            None,
        );
        assert_eq!(decision.prune_through, at(10), "what is gone is gone");
        assert_eq!(decision.forced, [("new".to_owned(), 0)]);
        assert!(decision.held_by.is_some());
    }

    #[test]
    fn compaction_waits_for_every_target_however_long() {
        let policy = Policy {
            changes: None,
            last_value: true,
            ..BY_COUNT
        };
        let targets = [target("slow", Some(40))];
        let decision = decide(&head(100, 1), policy, at(0), &targets, Some(at(100)));
        assert_eq!(decision.compact_through, at(40));
        assert_eq!(decision.prune_through, at(0));
        assert!(decision.held_by.is_some());
    }
}
