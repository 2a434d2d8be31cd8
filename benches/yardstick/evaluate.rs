//! What an evaluation costs by itself: one flag, and all modules for one client.

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Instant};

use changeover::{
    cutover::{Adviser, Flags, Routes},
    domain::{BasisPoints, Client, Cohort, End, Micros, ModuleName, Routing, Stage},
    store::{Entered, StageRecord},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Modules, all at `ramp` with half of the clients.
    #[arg(long, default_value_t = 200)]
    modules: u32,
    /// Clients that ask in turn.
    #[arg(long, default_value_t = 5000)]
    clients: u32,
    /// How often all modules are evaluated.
    #[arg(long, default_value_t = 20_000)]
    evaluations: u32,
}

/// Prints nanoseconds per flag, and microseconds for all modules.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let names = (0..arguments.modules).map(|n| format!("m{n}").parse());
    let modules: Vec<ModuleName> = names.collect::<Result<_, _>>()?;
    let adviser = adviser(&modules)?;
    let clients: Vec<_> = (0..arguments.clients)
        .map(|n| format!("terminal-{n:04}"))
        .collect();
    let begun = Instant::now();
    for (_, client) in (0..arguments.evaluations).zip(clients.iter().cycle()) {
        for module in &modules {
            black_box(adviser.advise(module, &Client::named(client)));
        }
    }
    let all_ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(arguments.evaluations);
    let one_ns = all_ns / f64::from(arguments.modules);
    println!("{one_ns:.0} {:.2}", all_ns / 1_000.0);
    Ok(())
}

fn adviser(modules: &[ModuleName]) -> anyhow::Result<Adviser> {
    let half = BasisPoints::new(5_000)?;
    let record = |module: &ModuleName| StageRecord {
        module: module.clone(),
        stage: Stage::Ramp,
        cohort: Cohort::share(half),
        routing: Routing::default(),
        paused: false,
        version: 1,
        changed_by: String::new(),
        changed_at: Micros::default(),
        reason: String::new(),
        ending: End::default(),
        entered: Entered::default(),
    };
    let flags = Flags::new(modules);
    flags.adopt(&modules.iter().map(record).collect::<Vec<_>>());
    let targets = |module: &ModuleName| (module.clone(), vec!["local".to_owned()]);
    let routes: BTreeMap<_, _> = modules.iter().map(targets).collect();
    Ok(Adviser::new(
        Arc::new(flags),
        Arc::new(Routes::new(routes)),
        |_| true,
    ))
}
