//! Where a client stands in the order in which a guard moves clients.

use crate::domain::{BasisPoints, ModuleName, bucket};

/// A client's place, from 0 to 9,999: the higher ones leave first and come back last.
///
/// Not the bucket of the cohort: that one's clients are the low buckets, and a guard that followed it would move
/// the cohort at 10 % in a tenth of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot(u16);

impl Spot {
    /// The same for the same client and module, on every replica. Those without an id cannot be told apart: they leave first.
    pub fn of(module: &ModuleName, client_id: &str) -> Self {
        if client_id.is_empty() {
            return Self(BasisPoints::ALL.get() - 1);
        }
        Self(bucket(&format!("guard:{module}"), client_id))
    }

    pub(super) const fn get(self) -> u16 {
        self.0
    }

    /// Whether the client is among the share that is told to take the push.
    pub const fn is_in(self, pushed: BasisPoints) -> bool {
        self.0 < pushed.get()
    }
}
