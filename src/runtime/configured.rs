//! Rooms as the configuration wants them.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::{Config, modules, mqtt},
    cutover::{
        Census, Flags, Routes,
        guard::{Guards, Terms},
    },
    domain::{Clock, ModuleName, Pace, SystemClock},
    log::{Awaited, Leadership, Policy, Presence, Retention, Served},
    mirror,
    store::Store,
};

/// A census of the configured modules, whose channels are on the embedded broker if there is one.
pub(super) fn census(config: &Config) -> Census {
    let targets = config.mqtt.effective_targets();
    let embedded = targets.iter().find(|target| target.is_embedded());
    let prefix = embedded.map_or("", |target| target.effective_prefix(&config.mqtt));
    let topics = mirror::topic::Topics::new(prefix);
    let now = (Instant::now(), SystemClock.now());
    let modules = served(config).modules;
    Census::new(
        &config.census,
        &modules,
        |module| topics.module(module),
        now,
    )
}

pub(super) fn presence(config: &Config) -> Presence {
    let targets = config.mqtt.effective_targets();
    let mut embedded = targets.iter().filter(|target| target.is_embedded());
    Presence::new(
        config.server.instance_name(),
        rand::random(),
        Duration::from_millis(config.sequencer.lease_ms),
        embedded.next().map(|target| target.name.clone()),
    )
}

pub(super) fn routes(config: &Config) -> Routes {
    let targets = config.mqtt.effective_targets();
    let of = |module: &modules::Module| {
        let module = module.module_name();
        let taking = targets.iter().filter(|target| target.takes(&module));
        let names = taking.map(|target| target.name.clone()).collect();
        (module, names)
    };
    Routes::new(config.modules.iter().map(of).collect())
}

/// None if they are not wanted.
pub(super) fn guards(
    config: &Config,
    flags: &Arc<Flags>,
    routes: &Routes,
    modules: &[ModuleName],
) -> Guards {
    let watched = modules.iter().filter(|_| config.guard.enabled);
    let watched = watched.map(|module| (module.clone(), routes.targets(module).to_vec()));
    Guards::new(Arc::clone(flags), Terms::from(&config.guard), watched)
}

pub(super) fn retention(
    config: &Config,
    store: &Arc<dyn Store>,
    leadership: &Arc<Leadership>,
) -> Retention {
    let modules = config.modules_by_name().into_iter();
    let targets = config.mqtt.effective_targets().into_iter();
    let awaited = |target: mqtt::Target| Awaited {
        modules: target.module_names(),
        name: target.name,
    };
    Retention::new(
        Arc::clone(store),
        Arc::clone(leadership),
        &config.retention,
        modules
            .map(|(name, module)| (name, Policy::from(module)))
            .collect(),
        targets.map(awaited).collect(),
    )
}

pub(super) fn served(config: &Config) -> Served {
    let named = |module: &modules::Module| -> Option<(ModuleName, bool)> {
        Some((module.name.parse().ok()?, module.state))
    };
    let modules: Vec<_> = config.modules.iter().filter_map(named).collect();
    let with_state: HashSet<_> = modules
        .iter()
        .filter(|(_, state)| *state)
        .map(|(module, _)| module.clone())
        .collect();
    Served {
        modules: modules.into_iter().map(|(module, _)| module).collect(),
        with_state,
        paces: config.modules.iter().filter_map(paced(config)).collect(),
    }
}

fn paced(config: &Config) -> impl Fn(&modules::Module) -> Option<(ModuleName, Pace)> {
    |module| Some((module.name.parse().ok()?, config.pace(module)?))
}
