//! What anybody in this replica has seen beyond a module's head: the evidence that positions were lost and could be
//! given twice.
//!
//! Invariant: a module with evidence is neither numbered nor published from here until the evidence was
//! settled: by a new epoch, or by finding that it no longer holds. On the word of brokers a module gets at most one epoch
//! within ten minutes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::domain::{Cursor, ModuleName};

/// Who has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witness {
    /// The log in this replica's memory.
    Tail,
    /// A row of the log, or a mirror's cursor, in the database itself.
    Database,
    /// The retained message on this target.
    Bookmark(String),
    /// The retained message of another log on this target, which nobody publishes to any more.
    Former(String),
}

/// A position that lies, or lay, beyond the database's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The module.
    pub module: ModuleName,
    /// What was seen.
    pub cursor: Cursor,
    /// By whom.
    pub witness: Witness,
    /// Where the database's log ended when it should have reached there.
    pub head: Cursor,
    /// The lease token under which this is certain even if numbering has passed by since.
    pub under: Option<i64>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tail => f.write_str("the log in memory"),
            Self::Database => f.write_str("a row of the database"),
            Self::Bookmark(target) => write!(f, "the retained message on `{target}`"),
            Self::Former(target) => write!(f, "the retained message of another log on `{target}`"),
        }
    }
}

/// What the audit keeps.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seen, head) = (self.cursor, self.head);
        let follows = match self.witness {
            Witness::Former(_) => {
                "nobody publishes that log there any more, and who followed it must not take its positions for ours"
            }
            Witness::Tail | Witness::Database | Witness::Bookmark(_) => {
                "an older copy was restored, or commits were lost"
            }
        };
        write!(
            f,
            "{} reaches position {} of epoch {}, the database's log ended at {} of epoch {}: {follows}",
            self.witness, seen.position, seen.epoch, head.position, head.epoch
        )
    }
}

/// The evidence that is not settled yet: at most one per module, the furthest.
#[derive(Debug, Default)]
pub struct Witnesses {
    open: Mutex<BTreeMap<ModuleName, Evidence>>,
    /// When an epoch of a module was begun last on a broker's word.
    begun: Mutex<BTreeMap<ModuleName, Instant>>,
    told: Notify,
}

/// So long after an epoch that was begun on a broker's word no other one is. A restore is one word, and one epoch answers it; whoever
/// publishes beside us answers each epoch with a higher one, and each sends all clients to a snapshot.
const EPOCH_REST: Duration = Duration::from_mins(10);

impl Witnesses {
    /// Takes a piece of evidence down, and wakes who settles it.
    pub fn tell(&self, evidence: Evidence) {
        let mut open = lock(&self.open);
        let known = open.get(&evidence.module);
        if known.is_none() {
            tracing::error!(module = %evidence.module, %evidence, "positions could be given twice: a new epoch is needed");
        }
        let under = evidence.under.or(known.and_then(|known| known.under));
        let furthest = known
            .filter(|known| known.cursor >= evidence.cursor)
            .cloned();
        let furthest = Evidence {
            under,
            ..furthest.unwrap_or(evidence)
        };
        open.insert(furthest.module.clone(), furthest);
        drop(open);
        self.told.notify_one();
    }

    /// Takes down what a broker has shown; unless an epoch has been begun on such a word lately: then not before the moment that is returned.
    pub fn tell_shown(&self, evidence: Evidence, now: Instant) -> Result<(), Instant> {
        let begun = lock(&self.begun).get(&evidence.module).copied();
        let rested = begun.map(|begun| begun + EPOCH_REST);
        if let Some(rested) = rested.filter(|rested| now < *rested) {
            return Err(rested);
        }
        self.tell(evidence);
        Ok(())
    }

    /// An epoch was begun on this evidence.
    pub(super) fn note_begun(&self, evidence: &Evidence, now: Instant) {
        if matches!(evidence.witness, Witness::Bookmark(_) | Witness::Former(_)) {
            lock(&self.begun).insert(evidence.module.clone(), now);
        }
    }

    /// Whether evidence against a module is not settled yet.
    pub fn are_open(&self, module: &ModuleName) -> bool {
        lock(&self.open).contains_key(module)
    }

    /// Everything that is not settled.
    pub(super) fn open(&self) -> Vec<Evidence> {
        lock(&self.open).values().cloned().collect()
    }

    /// Returns when something was told.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    /// This much was settled; what was told since and goes further stays open.
    pub(super) fn settle(&self, evidence: &Evidence) {
        let mut open = lock(&self.open);
        let further = |now: &Evidence| now.cursor > evidence.cursor;
        if !open.get(&evidence.module).is_some_and(further) {
            open.remove(&evidence.module);
        }
    }
}

// Between two statements a map is whole, so a panic elsewhere spoils nothing.
fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Position};

    fn seen(position: u64, under: Option<i64>) -> Evidence {
        let cursor = |position| Cursor::new(Epoch::FIRST, Position::new(position));
        Evidence {
            module: "m".parse().unwrap(),
            cursor: cursor(position),
            witness: Witness::Tail,
            head: cursor(1),
            under,
        }
    }

    #[test]
    fn the_furthest_is_kept_and_what_came_since_stays_open() {
        let witnesses = Witnesses::default();
        let module = "m".parse().unwrap();
        witnesses.tell(seen(7, Some(3)));
        witnesses.tell(seen(5, None));
        assert_eq!(witnesses.open(), [seen(7, Some(3))]);
        let first = witnesses.open().remove(0);
        witnesses.tell(seen(9, None));
        assert_eq!(witnesses.open(), [seen(9, Some(3))]);
        witnesses.settle(&first);
        assert!(witnesses.are_open(&module));
        witnesses.settle(&seen(9, None));
        assert!(!witnesses.are_open(&module));
    }

    #[test]
    fn brokers_have_a_word_once_in_a_while() {
        let shown = |position| Evidence {
            witness: Witness::Bookmark("t".to_owned()),
            ..seen(position, None)
        };
        let witnesses = Witnesses::default();
        let start = Instant::now();
        assert_eq!(witnesses.tell_shown(shown(5), start), Ok(()));
        witnesses.settle(&shown(5));
        assert_eq!(witnesses.tell_shown(shown(6), start), Ok(()), "none begun");
        witnesses.note_begun(&shown(6), start);
        witnesses.settle(&shown(6));
        let end = start + EPOCH_REST;
        let before = end.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(witnesses.tell_shown(shown(7), before), Err(end));
        assert_eq!(witnesses.open(), []);
        // What the database and the memory say counts at any time, and does not count as a broker's word.
        witnesses.tell(seen(7, None));
        witnesses.note_begun(&seen(7, None), before);
        witnesses.settle(&seen(7, None));
        assert_eq!(witnesses.tell_shown(shown(8), end), Ok(()));
    }

    #[test]
    fn the_reason_says_who_saw_what() {
        assert_eq!(
            seen(7, None).to_string(),
            "the log in memory reaches position 7 of epoch 1, the database's log ended at 1 of epoch 1: an older copy was restored, or commits were lost"
        );
    }
}
