//! The end of a story of failures: everybody comes to rest, and what was sent, acknowledged, delivered and repeated is counted
//! and held against the log.

use std::{sync::Arc, time::Duration};

use changeover::domain::Change;

use super::{
    database::DatabaseUnderTest, load::Load, logbook, terminal::Terminal, witness::Witness,
};

/// How long everybody has to come to rest.
const PATIENCE: Duration = Duration::from_mins(2);

/// What was counted on the way from the producers to the broker.
#[derive(Debug, Clone, Copy)]
pub struct Reckoning {
    /// Changes that were accepted: the whole log.
    pub total: u64,
    /// Requests that were sent again.
    pub resent: u64,
    /// Changes that the mirror handed to the broker, repeats included.
    pub published: u64,
    pub connections: u64,
    /// What was acknowledged within a second before the end of a connection.
    pub acknowledged_lately: u64,
}

impl Reckoning {
    /// Ends the load, and waits until the broker has acknowledged everything and each terminal has been told that it has
    /// everything.
    pub async fn of(load: &mut Load, witness: &Witness, terminals: &[Terminal]) -> Self {
        let (total, resent) = load.finish().await;
        witness.has_all(total, PATIENCE).await;
        for terminal in terminals {
            terminal.reached(total, PATIENCE).await;
        }
        let (published, connections, acknowledged_lately) =
            witness.look(|seen| (seen.published, seen.connections, seen.acknowledged_lately));
        Self {
            total,
            resent,
            published,
            connections,
            acknowledged_lately,
        }
    }

    /// Changes that the broker was handed more than once.
    pub fn repeated(&self) -> u64 {
        self.published - self.total
    }

    /// Asserts that the log is what was accepted, that each terminal holds exactly its part, and that no more was repeated than
    /// may be. Prints all counts.
    pub async fn assert_exact(
        &self,
        database: &DatabaseUnderTest,
        load: &Load,
        terminals: &[Terminal],
        most_repeated: u64,
    ) -> Vec<Arc<Change>> {
        let cursor = database.text(logbook::MIRROR_CURSOR).await;
        assert_eq!(cursor, Some(self.total.to_string()), "the stored cursor");
        let log = logbook::whole(database).await;
        load.assert_is(&log);
        println!(
            "{} changes accepted ({} requests sent again); {} published on {} connections, {} of them repeats (at most {most_repeated})",
            self.total,
            self.resent,
            self.published,
            self.connections,
            self.repeated(),
        );
        assert!(self.repeated() <= most_repeated, "{self:?}");
        let held = logbook::held(&log);
        for terminal in terminals {
            terminal.assert_holds(&held);
        }
        log
    }
}

/// Asserts that the log is what was accepted, and that each terminal holds exactly its part.
pub async fn all_hold_the_log(database: &DatabaseUnderTest, load: &Load, terminals: &[Terminal]) {
    let log = logbook::whole(database).await;
    load.assert_is(&log);
    let log = logbook::held(&log);
    for terminal in terminals {
        terminal.assert_holds(&log);
    }
}
