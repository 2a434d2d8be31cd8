//! A way: the changes of one lane that go over one line.
//!
//! Invariants: all changes of a channel take the same way, so their order is that of the log; and each way meets its
//! troubles for itself.

use std::{collections::VecDeque, sync::Arc};

use super::trouble::Trouble;
use crate::domain::{Audience, Change, ModuleName};

/// What is to go over one line.
#[derive(Debug, Default)]
pub(in crate::mirror) struct Way {
    /// Read, and not handed over.
    pub(in crate::mirror) queue: VecDeque<Arc<Change>>,
    pub(in crate::mirror) trouble: Trouble,
}

/// Which way each channel of a module takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::mirror) struct Fork {
    seed: u32,
    ways: usize,
}

impl Fork {
    pub(in crate::mirror) fn new(module: &ModuleName, ways: usize) -> Self {
        Self {
            seed: murmur3(module.as_str(), 0),
            ways,
        }
    }

    /// The same for the same channel as long as the number of ways is.
    pub(in crate::mirror) fn way(self, audience: &Audience) -> usize {
        if self.ways < 2 {
            return 0;
        }
        let hash = murmur3(audience.as_str(), self.seed);
        usize::try_from(hash).unwrap_or(usize::MAX) % self.ways
    }
}

fn murmur3(text: &str, seed: u32) -> u32 {
    murmur3::murmur3_32(&mut text.as_bytes(), seed).expect("reading from memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_spread_and_stay_where_they_are() {
        let module: ModuleName = "orders".parse().unwrap();
        let fork = Fork::new(&module, 4);
        let mut counts = [0_u32; 4];
        for n in 0..4_000 {
            let audience = Audience::stored(format!("u{n}"));
            let way = fork.way(&audience);
            assert_eq!(way, Fork::new(&module, 4).way(&audience));
            counts[way] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
        // Written down: a new version of this program must not send a channel another way.
        let known = ["*", "u1", "u2", "u3"].map(|audience| fork.way(&Audience::stored(audience)));
        assert_eq!(known, [0, 3, 2, 2]);
        assert_eq!(Fork::new(&module, 1).way(&Audience::stored("u1")), 0);
    }
}
