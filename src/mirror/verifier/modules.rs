//! The configured modules, and the watches over those that this replica mirrors.
//!
//! Invariant: another replica's modules are not judged; what was counted stays when a lease goes.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use super::{
    ModuleVerification, Outcome,
    received::{Received, fingerprint},
    sampler::Share,
    sight::{Means, Sight},
    tally::Tally,
    watch::Watch,
};
use crate::{
    domain::ModuleName,
    mirror::{ModuleStatus, TargetStatus},
};

pub(super) struct Modules {
    target: String,
    means: Means,
    /// By the module's name in topics.
    all: HashMap<String, Module>,
}

struct Module {
    name: ModuleName,
    /// Absent until this replica mirrors it for the first time.
    tally: Option<Tally>,
    /// Present while this replica mirrors it.
    watch: Option<Watch>,
}

impl Modules {
    /// The modules of the tail, none of which is watched yet.
    pub(super) fn new(target: &str, means: Means) -> Self {
        let module = |name: &ModuleName| Module {
            name: name.clone(),
            tally: None,
            watch: None,
        };
        let named = |name: &ModuleName| (name.as_str().to_owned(), module(name));
        Self {
            target: target.to_owned(),
            all: means.tail.modules().map(named).collect(),
            means,
        }
    }

    /// Takes a message that came on a channel of a module.
    pub(super) fn hear(&mut self, module: &str, topic: &str, payload: &[u8]) {
        let Some(found) = self.all.get_mut(module) else {
            return;
        };
        let (Some(watch), Some(tally)) = (&mut found.watch, &mut found.tally) else {
            return;
        };
        let channel = fingerprint(&[topic]);
        if !watch.compares(channel) {
            return;
        }
        let sight = self.means.sight();
        match Received::parse(module, channel, payload) {
            Ok(event) => watch.hear(event, &sight, tally),
            Err(why) => {
                let detail = format!("a client cannot read it: {why}");
                tally.blame(Outcome::Foreign, None, sight.time, detail);
            }
        }
    }

    /// Watches what this replica mirrors and nothing else, and looks at how far the publisher is.
    pub(super) fn follow(&mut self, status: &TargetStatus, share: Share, listening: bool) {
        let mirrored = status.modules();
        let connections = status.connections();
        let sight = self.means.sight();
        for module in self.all.values_mut() {
            match mirrored.get(&module.name) {
                Some(status) => {
                    let start = (connections, share, listening);
                    module.look(&self.target, status, start, &sight);
                }
                None => module.leave(),
            }
        }
    }

    /// Does something with each module that is watched.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Watch, &mut Tally, &Sight<'_>)) {
        let sight = self.means.sight();
        for module in self.all.values_mut() {
            if let (Some(watch), Some(tally)) = (&mut module.watch, &mut module.tally) {
                act(watch, tally, &sight);
            }
        }
    }

    /// What was found so far. Problems go to the log.
    pub(super) fn found(&mut self) -> BTreeMap<ModuleName, ModuleVerification> {
        let now = Instant::now();
        let mut found = BTreeMap::new();
        for module in self.all.values_mut() {
            if let Some(tally) = &mut module.tally {
                tally.tell(now);
                found.insert(module.name.clone(), tally.found().clone());
            }
        }
        found
    }
}

impl Module {
    fn look(
        &mut self,
        target: &str,
        status: &ModuleStatus,
        (connections, share, listening): (u64, Share, bool),
        sight: &Sight<'_>,
    ) {
        let fresh = || Tally::new(target, &self.name, sight.time);
        let tally = self.tally.get_or_insert_with(fresh);
        if self.watch.is_none()
            && let Some(edge) = sight.tail.edge(&self.name)
        {
            let watch = Watch::new(&self.name, edge, status, connections, share, sight);
            let watch = self.watch.insert(watch);
            if listening {
                watch.begin(sight);
            }
        }
        if let Some(watch) = &mut self.watch {
            watch.look(status, connections, sight, tally);
        }
    }

    fn leave(&mut self) {
        if let (Some(watch), Some(tally)) = (&mut self.watch, &mut self.tally) {
            watch.end(tally);
        }
        self.watch = None;
    }
}
