//! `[admission]`: how many reads go on at once.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Bounds of reads, by class: of the tail, which is memory, and of the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// Reads of the tail at once.
    pub tail: u32,
    /// Of one module; absent = three quarters of `tail`.
    pub tail_per_module: Option<u32>,
    /// Reads of the database at once; absent = `database.connections` less two, at least 1.
    pub database: Option<u32>,
    /// Of one module; absent = three quarters of `database`.
    pub database_per_module: Option<u32>,
    /// Reads of one class that may wait for a place, per module; one more is refused at once.
    pub queue_per_module: usize,
    /// How long they wait.
    pub wait_ms: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            tail: 256,
            tail_per_module: None,
            database: None,
            database_per_module: None,
            queue_per_module: 256,
            wait_ms: 2_000,
        }
    }
}

/// How many reads of one class go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Of all modules.
    pub all: u32,
    /// Of one module.
    pub per_module: u32,
}

impl Places {
    fn new(all: u32, per_module: Option<u32>) -> Self {
        let per_module = per_module.unwrap_or_else(|| (all - all / 4).max(1));
        Self {
            all,
            per_module: per_module.min(all),
        }
    }
}

/// Connections that reads leave to the tail reader, the flags and the acts.
const LEFT_FREE: u32 = 2;

impl Admission {
    /// The places of reads of the tail.
    pub fn tail_places(&self) -> Places {
        Places::new(self.tail, self.tail_per_module)
    }

    /// The places of reads of a database with so many connections.
    pub fn database_places(&self, connections: u32) -> Places {
        let free = connections.saturating_sub(LEFT_FREE).max(1);
        Places::new(self.database.unwrap_or(free), self.database_per_module)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        let mut places = |name, value: Option<u32>, max| {
            if let Some(value) = value {
                problems.bound(&key(name), value, 1, max);
            }
        };
        places("tail", Some(self.tail), 1_000_000);
        places("tail_per_module", self.tail_per_module, 1_000_000);
        places("database", self.database, 1_000);
        places("database_per_module", self.database_per_module, 1_000);
        let queue = self.queue_per_module;
        problems.bound(&key("queue_per_module"), queue, 0, 1_000_000);
        problems.bound(&key("wait_ms"), self.wait_ms, 1, 60_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leave_connections_to_others_and_modules_leave_places_to_each_other() {
        let places = |connections| Admission::default().database_places(connections);
        let (all, per_module) = (6, 5);
        assert_eq!(places(8), Places { all, per_module });
        let (all, per_module) = (1, 1);
        assert_eq!(places(1), Places { all, per_module });
        let asked = Admission {
            database: Some(4),
            database_per_module: Some(9),
            ..Admission::default()
        };
        let (all, per_module) = (4, 4);
        assert_eq!(asked.database_places(100), Places { all, per_module });
    }
}
