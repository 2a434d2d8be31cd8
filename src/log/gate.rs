//! The gate of one class of reads.
//!
//! Invariants: no more pass than there are places, nor of one module than its share; a place that
//! becomes free goes to the waiting module that has the fewest, and nobody passes by those who
//! wait; who stops waiting leaves no trace.
//!
//! While nobody waits, passing is a few atomic operations. The first who finds no place takes the
//! lock, says that somebody waits, and looks again; who leaves gives its place back first and looks
//! for waiting ones after. All of it is sequentially consistent, so one of the two sees the other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use metrics::{Counter, Gauge};
use tokio::{sync::oneshot, time::timeout};

use super::Class;
use crate::{config::admission::Places, domain::ModuleName, telemetry::metric};

/// The gate of one class of reads.
#[derive(Debug)]
pub(super) struct Gate {
    places: Places,
    most_queued: usize,
    lanes: Vec<Lane>,
    by_name: HashMap<ModuleName, usize>,
    taken: AtomicU32,
    /// How many wait in all queues.
    queued: AtomicU32,
    queues: Mutex<Queues>,
}

/// One module at the gate.
#[derive(Debug)]
struct Lane {
    taken: AtomicU32,
    strain: AtomicU64,
    in_flight: Gauge,
    refused: Counter,
}

/// Who waits, by lane.
#[derive(Debug)]
struct Queues {
    by_lane: Vec<VecDeque<Queued>>,
    next: u64,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    grant: oneshot::Sender<Pass>,
}

/// The right to be inside. Dropped, the place is handed on.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    lane: usize,
    /// Whether the one who drops it holds the lock, and hands the place on himself.
    quiet: bool,
}

/// A place in a queue. Dropped, it is free.
struct Standing<'a> {
    gate: &'a Gate,
    lane: usize,
    number: u64,
}

impl Gate {
    pub(super) fn new(
        class: Class,
        places: Places,
        most_queued: usize,
        modules: &[ModuleName],
    ) -> Arc<Self> {
        let by_name = modules.iter().cloned().zip(0..).collect();
        Arc::new(Self {
            places,
            most_queued,
            lanes: modules.iter().map(|m| Lane::new(class, m)).collect(),
            by_name,
            taken: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            queues: Mutex::new(Queues {
                by_lane: modules.iter().map(|_| VecDeque::new()).collect(),
                next: 0,
            }),
        })
    }

    pub(super) fn lane(&self, module: &ModuleName) -> Option<usize> {
        self.by_name.get(module).copied()
    }

    /// Passes if there is a place and nobody waits for it.
    pub(super) fn try_pass(self: &Arc<Self>, lane: usize) -> Option<Pass> {
        (self.queued.load(SeqCst) == 0)
            .then(|| self.take(lane))
            .flatten()
    }

    /// Waits for a place; `None` if none became free in time, or too many of the module wait.
    pub(super) async fn wait(self: &Arc<Self>, lane: usize, patience: Duration) -> Option<Pass> {
        let (standing, mut granted) = self.stand_in_line(lane)?;
        let pass = match timeout(patience, &mut granted).await {
            Ok(pass) => pass.ok(),
            // It may have come at the last moment.
            Err(_elapsed) => granted.try_recv().ok(),
        };
        drop(standing);
        pass
    }

    pub(super) fn count_refused(&self, lane: usize) {
        self.lanes[lane].refused.increment(1);
        self.lanes[lane].strain.fetch_add(1, SeqCst);
    }

    /// Counts up with each read that waits or is refused.
    pub(super) fn strain(&self, lane: usize) -> u64 {
        self.lanes[lane].strain.load(SeqCst)
    }

    fn stand_in_line(
        self: &Arc<Self>,
        lane: usize,
    ) -> Option<(Standing<'_>, oneshot::Receiver<Pass>)> {
        let mut queues = self.lock();
        // Also for those who met the caller's own try at a place, see `take`.
        self.hand_on(&mut queues);
        if queues.by_lane[lane].len() >= self.most_queued {
            return None;
        }
        let number = queues.next;
        queues.next += 1;
        let (grant, granted) = oneshot::channel();
        queues.by_lane[lane].push_back(Queued { number, grant });
        self.queued.fetch_add(1, SeqCst);
        self.hand_on(&mut queues);
        if queues.stands(lane, number) {
            self.lanes[lane].strain.fetch_add(1, SeqCst);
        }
        let standing = Standing {
            gate: self,
            lane,
            number,
        };
        Some((standing, granted))
    }

    /// Lets in who waits, as long as there are places.
    fn hand_on(self: &Arc<Self>, queues: &mut Queues) {
        while let Some(lane) = self.next_lane(queues) {
            let Some(pass) = self.take(lane) else {
                return;
            };
            let first = queues.by_lane[lane].pop_front();
            self.queued.fetch_sub(1, SeqCst);
            let refused = first.map(|first| first.grant.send(pass));
            if let Some(Err(mut pass)) = refused {
                // Nobody listens any more, and the next turn of this loop finds the place free.
                pass.quiet = true;
            }
        }
    }

    /// Of the modules that wait and may have one more, the one with the fewest; of equals the one
    /// that has waited longest.
    fn next_lane(&self, queues: &Queues) -> Option<usize> {
        let waiting = (0..).zip(&queues.by_lane).filter_map(|(lane, queue)| {
            let taken = self.lanes[lane].taken.load(SeqCst);
            let may = taken < self.places.per_module;
            may.then_some((taken, queue.front()?.number, lane))
        });
        waiting.min().map(|(_, _, lane)| lane)
    }

    fn take(self: &Arc<Self>, lane: usize) -> Option<Pass> {
        let module = &self.lanes[lane];
        if !raise(&module.taken, self.places.per_module) {
            return None;
        }
        if !raise(&self.taken, self.places.all) {
            // Who met this in between may stand in line by now: the caller comes by there next.
            module.taken.fetch_sub(1, SeqCst);
            return None;
        }
        module.in_flight.increment(1.0);
        Some(Pass {
            gate: Arc::clone(self),
            lane,
            quiet: false,
        })
    }

    fn give_back(&self, lane: usize) {
        self.taken.fetch_sub(1, SeqCst);
        self.lanes[lane].taken.fetch_sub(1, SeqCst);
        self.lanes[lane].in_flight.decrement(1.0);
    }

    // Between two statements the queues are whole, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn stands(&self, lane: usize, number: u64) -> bool {
        self.by_lane[lane].iter().any(|q| q.number == number)
    }
}

impl Lane {
    fn new(class: Class, module: &ModuleName) -> Self {
        let module = module.as_str().to_owned();
        let label = class.label();
        Self {
            taken: AtomicU32::new(0),
            strain: AtomicU64::new(0),
            in_flight: match class {
                // A read of the tail never waits once it is inside: there is nothing to see, and
                // telling it would cost each poll more than its place does.
                Class::Tail => Gauge::noop(),
                Class::Database => {
                    metrics::gauge!(metric::ADMISSION_IN_FLIGHT, "module" => module.clone())
                }
            },
            refused: metrics::counter!(
                metric::ADMISSION_REFUSED, "class" => label, "module" => module
            ),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.give_back(self.lane);
        if !self.quiet && self.gate.queued.load(SeqCst) > 0 {
            self.gate.hand_on(&mut self.gate.lock());
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let mut queues = self.gate.lock();
        let queue = &mut queues.by_lane[self.lane];
        if let Some(at) = queue.iter().position(|q| q.number == self.number) {
            queue.remove(at);
            self.gate.queued.fetch_sub(1, SeqCst);
        }
    }
}

/// Adds one unless that is more than `most`.
fn raise(count: &AtomicU32, most: u32) -> bool {
    let one_more = |count: u32| (count < most).then_some(count + 1);
    count.fetch_update(SeqCst, SeqCst, one_more).is_ok()
}
