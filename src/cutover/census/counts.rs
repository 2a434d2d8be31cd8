//! How many clients each module has, and how they were seen, of all replicas: counted now and then, read at any time.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwapOption;

use super::sketch::Union;
use crate::{
    domain::{Micros, ModuleName, Transport},
    store::{ClientCount, Sketch},
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
    /// False if some replica has seen more clients than it remembers, or some without an id: then the numbers are estimates.
    pub is_exact: bool,
}

/// One count of all modules.
#[derive(Debug)]
pub struct Count {
    /// Since when clients are counted.
    pub since: Micros,
    modules: BTreeMap<ModuleName, Counted>,
}

impl Count {
    /// Those of a module.
    pub fn of(&self, module: &ModuleName) -> Counted {
        let none = Counted {
            is_exact: true,
            ..Counted::default()
        };
        self.modules.get(module).copied().unwrap_or(none)
    }

    /// From the rows of all replicas, and from the sketches of those who cannot remember everybody.
    pub(super) fn new(since: Micros, rows: Vec<ClientCount>, sketches: &[Sketch]) -> Self {
        let exact = |row: ClientCount| {
            let counted = Counted {
                push: row.push,
                poll: row.poll,
                fell_back: row.fell_back,
                is_exact: row.is_exact,
            };
            (row.module, counted)
        };
        let mut modules: BTreeMap<_, _> = rows.into_iter().map(exact).collect();
        let mut unions: BTreeMap<&ModuleName, [Union; 2]> = BTreeMap::new();
        for sketch in sketches {
            let unions = unions
                .entry(&sketch.module)
                .or_insert_with(|| [Union::new(), Union::new()]);
            unions[sketch.transport as usize].add(sketch.registers.iter().copied());
        }
        for (module, unions) in unions {
            let counted: &mut Counted = modules.entry(module.clone()).or_default();
            *counted = estimated(*counted, &unions);
        }
        Self { since, modules }
    }
}

/// Who was on push counts for that: sketches do not know what came last. There are never fewer than are known by name.
fn estimated(known: Counted, [poll, push]: &[Union; 2]) -> Counted {
    let mut all = poll.clone();
    all.add(push.registers().iter().copied());
    let pushed = push.estimate();
    let polled = all.estimate().saturating_sub(pushed);
    Counted {
        push: pushed.max(known.push),
        poll: polled.max(known.poll),
        fell_back: known.fell_back,
        is_exact: false,
    }
}

const _: () = assert!(Transport::Poll as usize == 0 && Transport::Push as usize == 1);

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
