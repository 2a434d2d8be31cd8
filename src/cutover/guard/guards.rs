//! What this replica knows of all guards, and what follows from it for a client.
//!
//! Invariants: an evaluation does no I/O and takes no lock; a record replaces one of a higher version only when the database has been restored; the moments of a state
//! are fixed when it is first seen, so that a share never goes back because a later reading took longer.

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use metrics::{Gauge, gauge};

use super::{Post, Spot, State, Terms};
use crate::{
    cutover::{Cause, Evaluation, Flags, ceiling},
    domain::{BasisPoints, ModuleMap, ModuleName, Transport},
    store::{GuardRecord, GuardsSeen},
    telemetry::metric,
};

/// A clock that only counts.
type Count = dyn Fn() -> Instant + Send + Sync;

/// All guards, as this replica last saw them.
pub struct Guards {
    flags: Arc<Flags>,
    terms: Terms,
    posts: ArcSwap<ModuleMap<Vec<Post>>>,
    /// Whether a guard holds clients of the module.
    shown: ModuleMap<Gauge>,
    now: Box<Count>,
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guards").finish_non_exhaustive()
    }
}

impl Guards {
    /// A guard for each module on each of its targets, none of which has tripped.
    pub fn new(
        flags: Arc<Flags>,
        terms: Terms,
        watched: impl IntoIterator<Item = (ModuleName, Vec<String>)>,
    ) -> Self {
        let posts = |targets: Vec<String>| targets.into_iter().map(Post::new).collect();
        let watched = watched.into_iter();
        let posts: ModuleMap<Vec<Post>> = watched
            .map(|(module, targets)| (module, posts(targets)))
            .collect();
        let shown = posts.keys().map(|module| {
            let shown = gauge!(metric::GUARD_TRIPPED, "module" => module.to_string());
            shown.set(0.0);
            (module.clone(), shown)
        });
        Self {
            flags,
            terms,
            shown: shown.collect(),
            posts: ArcSwap::from_pointee(posts),
            now: Box::new(Instant::now),
        }
    }

    /// The same by another clock.
    #[must_use]
    pub fn counting(mut self, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.now = Box::new(now);
        self
    }

    pub(super) const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The time by the clock that only counts.
    pub(in crate::cutover) fn now(&self) -> Instant {
        (self.now)()
    }

    /// All guards of a module.
    pub fn of(&self, module: &ModuleName) -> Vec<Post> {
        let posts = self.posts.load();
        posts.get(module).cloned().unwrap_or_default()
    }

    /// One of them.
    pub(super) fn post(&self, module: &ModuleName, target: &str) -> Option<Post> {
        let posts = self.posts.load();
        let mut of = posts.get(module)?.iter();
        of.find(|post| post.target == target).cloned()
    }

    /// Which modules and targets are watched.
    pub(super) fn keys(&self) -> Vec<(ModuleName, String)> {
        let posts = self.posts.load();
        let of = |(module, posts): (&ModuleName, &Vec<Post>)| {
            let key = |post: &Post| (module.clone(), post.target.clone());
            posts.iter().map(key).collect::<Vec<_>>()
        };
        let mut keys: Vec<_> = posts.iter().flat_map(of).collect();
        keys.sort_unstable();
        keys
    }

    /// How many turns the guard of a module on a target has taken: part of the version that clients are told. All replicas that have
    /// read the same say the same.
    pub(in crate::cutover) fn turns(&self, module: &ModuleName, target: &str) -> i64 {
        let posts = self.posts.load();
        let mut of = posts.get(module).into_iter().flatten();
        let post = of.find(|post| post.target == target);
        post.and_then(|post| post.record.as_ref())
            .map_or(0, |record| record.turns)
    }

    /// What a client is told whose target is this one, if without a guard it were told `asked_for`; and when it will be told
    /// something else, if that can be known.
    pub(in crate::cutover) fn limit(
        &self,
        asked_for: Evaluation,
        module: &ModuleName,
        target: &str,
        client_id: &str,
    ) -> (Evaluation, Option<Instant>) {
        let posts = self.posts.load();
        let mut of = posts.get(module).into_iter().flatten();
        let Some(post) = of.find(|post| post.target == target && !post.is_quiet()) else {
            return (asked_for, None);
        };
        let (pace, now) = (&self.terms.pace, self.now());
        let spot = Spot::of(module, client_id);
        let is_in = spot.is_in(post.pushed(pace, now));
        let moves_at = (asked_for.transport == Transport::Push)
            .then(|| post.moves_at(pace, spot, is_in))
            .flatten();
        if !post.has_tripped() && is_in {
            return (asked_for, None);
        }
        let transport = if is_in {
            asked_for.transport
        } else {
            Transport::Poll
        };
        let told = ceiling::lowered(asked_for, Cause::Guard, transport);
        (told, moves_at.filter(|at| *at > now))
    }

    /// What clients of a target are told in general.
    pub(in crate::cutover) fn limit_all(
        &self,
        asked_for: Evaluation,
        module: &ModuleName,
        target: &str,
    ) -> Evaluation {
        let posts = self.posts.load();
        let mut of = posts.get(module).into_iter().flatten();
        if of.any(|post| post.target == target && post.has_tripped()) {
            return ceiling::lowered(asked_for, Cause::Guard, Transport::Poll);
        }
        asked_for
    }

    /// The targets whose clients of the module are, or may still be, on their way.
    pub(in crate::cutover) fn are_any(
        &self,
        module: &ModuleName,
        what: impl Fn(&Post) -> bool,
    ) -> bool {
        let posts = self.posts.load();
        let mut of = posts.get(module).into_iter().flatten();
        of.any(|post| !post.is_quiet() && what(post))
    }

    /// Takes over what was read. What is known of a module with a row that cannot be read stays, if nothing newer is.
    pub(super) fn adopt(&self, seen: &GuardsSeen, now: Instant) {
        let mut rows: HashMap<(&ModuleName, &str), &GuardRecord> = HashMap::new();
        for record in &seen.records {
            rows.insert((&record.module, &record.target), record);
        }
        let row = |module: &ModuleName, post: &Post| rows.get(&(module, &*post.target)).copied();
        let is_known = |module: &ModuleName, row: Option<&GuardRecord>| {
            row.is_some() || seen.can_be_read(module)
        };
        let is_news = |module: &ModuleName, post: &Post| {
            let row = row(module, post);
            post.is_news(row) && is_known(module, row)
        };
        let posts = self.posts.load();
        let mut of = posts.iter();
        if !of.any(|(module, posts)| posts.iter().any(|post| is_news(module, post))) {
            return;
        }
        self.change(|post, module| {
            let (row, was) = (row(module, post), post.version());
            let changed = is_known(module, row) && post.read(row, &self.terms.pace, now);
            if post.version() < was {
                let (broker, is) = (&post.target, post.version());
                tracing::warn!(%module, broker, was, is, "the guard's row has gone back, as after a restore of the database: it counts from now on");
            }
            changed
        });
    }

    /// Takes over what was written here just now: by the very moments of the guard that was written.
    pub(super) fn wrote(&self, record: &GuardRecord, state: State, now: Instant) {
        self.change(|post, module| {
            let is_it = record.module == *module && record.target == post.target;
            is_it && post.adopt(record, Some(state), now)
        });
    }

    /// What this replica has found by itself.
    pub(super) fn find(&self, module: &ModuleName, target: &str, own: State) {
        if self.post(module, target).is_none_or(|post| post.own == own) {
            return;
        }
        self.change(|post, of| {
            let is_it = module == of && target == post.target;
            is_it && std::mem::replace(&mut post.own, own).phase() != own.phase()
        });
    }

    /// Tells those who keep answers that these may be other ones now.
    pub(super) fn moved(&self) {
        self.flags.have_changed();
    }

    /// The share of each guard that moves clients.
    pub(super) fn shares(&self, now: Instant) -> Vec<(ModuleName, String, BasisPoints)> {
        let posts = self.posts.load();
        let pace = &self.terms.pace;
        let of = |(module, posts): (&ModuleName, &Vec<Post>)| {
            let moving = posts.iter().filter(|post| !post.is_quiet());
            let share = |post: &Post| (module.clone(), post.target.clone(), post.pushed(pace, now));
            moving.map(share).collect::<Vec<_>>()
        };
        let mut shares: Vec<_> = posts.iter().flat_map(of).collect();
        shares.sort_unstable();
        shares
    }

    fn change(&self, mut step: impl FnMut(&mut Post, &ModuleName) -> bool) {
        let mut changed = false;
        self.posts.rcu(|old| {
            changed = false;
            let mut new = ModuleMap::clone(old);
            for (module, posts) in &mut new {
                for post in posts {
                    changed |= step(post, module);
                }
            }
            new
        });
        if changed {
            self.moved();
        }
    }

    /// Shows which modules have a guard that holds clients: one whose target nobody is told holds none.
    pub(super) fn show(&self, has_clients: impl Fn(&ModuleName, &str) -> bool) {
        for (module, posts) in self.posts.load().iter() {
            let mut tripped = posts.iter().filter(|post| post.has_tripped());
            let holds = tripped.any(|post| has_clients(module, &post.target));
            if let Some(shown) = self.shown.get(module) {
                shown.set(f64::from(u8::from(holds)));
            }
        }
    }

    /// The share of a guard's clients that is told what the ladder says.
    pub fn pushed(&self, post: &Post) -> BasisPoints {
        post.pushed(&self.terms.pace, self.now())
    }
}
