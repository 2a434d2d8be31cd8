//! How many clients each module has, and how they were seen, of all replicas: counted now and then, read at any time.
//!
//! Invariant: a client with an id counts once, whatever it was seen on; who has none counts beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;

use super::sketch::Union;
use crate::{
    domain::{Micros, ModuleName},
    store::{ClientCount, Crowd, KnownSince, Sketch},
};

/// The clients of a module within `census.window`. Each counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Those on push.
    pub push: u64,
    /// Those who poll.
    pub poll: u64,
    /// Of these, those who fell back from push. Of those who are not remembered one by one it is not known.
    pub fell_back: u64,
    /// About how many have no id, and are none of the above.
    pub without_id: u64,
    /// False if some replica has seen more clients than it remembers: then the numbers are estimates.
    pub is_exact: bool,
    /// Since when they are known, without a gap.
    pub since: Micros,
}

/// One count of all modules.
#[derive(Debug)]
pub struct Count {
    known: KnownSince,
    /// The beginning of the window.
    from: Micros,
    modules: BTreeMap<ModuleName, Counted>,
}

impl Count {
    /// Those of a module.
    pub fn of(&self, module: &ModuleName) -> Counted {
        let none = Counted {
            is_exact: true,
            ..Counted::default()
        };
        let counted = self.modules.get(module).copied().unwrap_or(none);
        let known = self.known.modules.get(module).unwrap_or(&self.known.now);
        Counted {
            since: self.from.max(*known),
            ..counted
        }
    }

    /// From the rows of all replicas, and from the sketches of those who cannot tell everybody apart. Of a module that is not watched nothing is
    /// known of before now.
    pub(super) fn new(
        known: KnownSince,
        window: Duration,
        rows: Vec<ClientCount>,
        sketches: &[Sketch],
    ) -> Self {
        let mut rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row.module.clone(), row))
            .collect();
        let mut crowds: BTreeMap<&ModuleName, Crowds> = BTreeMap::new();
        for sketch in sketches {
            crowds.entry(&sketch.module).or_default().add(sketch);
        }
        let modules: BTreeSet<_> = rows.keys().chain(crowds.keys().copied()).cloned().collect();
        let of = |module: ModuleName| {
            let row = rows.remove(&module);
            let crowds = crowds.get(&module);
            let counted = counted(row.as_ref(), crowds.unwrap_or(&Crowds::default()));
            (module, counted)
        };
        Self {
            from: known.now.minus(window),
            known,
            modules: modules.into_iter().map(of).collect(),
        }
    }
}

/// Whom the sketches of a module hold, of all replicas.
#[derive(Default)]
struct Crowds {
    held: [Option<Box<Union>>; 3],
    /// Whether some replica has seen more clients with an id than it remembers.
    overflow: bool,
}

impl Crowds {
    fn add(&mut self, sketch: &Sketch) {
        match self.held.get_mut(sketch.crowd as usize) {
            Some(union) => union
                .get_or_insert_with(|| Box::new(Union::new()))
                .add(sketch.registers.iter().copied()),
            None => self.overflow = true,
        }
    }

    fn estimate(&self, crowds: &[Crowd]) -> u64 {
        let mut all = Union::new();
        for union in crowds
            .iter()
            .filter_map(|crowd| self.held[*crowd as usize].as_ref())
        {
            all.add(union.registers().iter().copied());
        }
        all.estimate()
    }
}

/// Who has a row counts as that says. The sketches hold everybody with an id, so those without a row are what is left of them; of these
/// whoever was on push counts for that, since sketches do not know what came last.
fn counted(row: Option<&ClientCount>, crowds: &Crowds) -> Counted {
    let known = |of: fn(&ClientCount) -> u64| row.map_or(0, of);
    let (push, poll) = (known(|row| row.push), known(|row| row.poll));
    let overflow = crowds.overflow;
    let (mut above, mut above_pushed) = (0, 0);
    if overflow {
        let everybody = crowds.estimate(&[Crowd::Poll, Crowd::Push]);
        above = everybody.saturating_sub(push + poll);
        let pushed = crowds.estimate(&[Crowd::Push]);
        above_pushed = pushed.saturating_sub(known(|row| row.pushed)).min(above);
    }
    // The row without an id stands for those above the bound, too.
    let someone = row.is_some_and(|row| row.unnamed) && !overflow;
    Counted {
        push: push + above_pushed,
        poll: poll + (above - above_pushed),
        fell_back: known(|row| row.fell_back),
        without_id: crowds.estimate(&[Crowd::Unnamed]).max(u64::from(someone)),
        is_exact: !overflow,
        since: Micros::default(),
    }
}

/// The last count.
#[derive(Debug, Default)]
pub struct Counts(ArcSwapOption<Count>);

impl Counts {
    /// The last count; `None` before the first.
    pub fn last(&self) -> Option<Arc<Count>> {
        self.0.load_full()
    }

    pub(super) fn set(&self, count: Count) {
        self.0.store(Some(Arc::new(count)));
    }
}

#[cfg(test)]
#[path = "counts_tests.rs"]
mod tests;
