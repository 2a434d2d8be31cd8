//! What an evaluation costs by itself: the flag of one module, and those of 200 modules for one client. Another client
//! asks each time; every module is at `ramp` with half of the clients, which is the longest way through the rules.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use changeover::{
    cutover::{Adviser, Flags, Routes},
    domain::{BasisPoints, Client, Cohort, End, Micros, ModuleName, Routing, Stage},
    store::{Entered, StageRecord},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Flags in one evaluation.
const MODULES: [u64; 2] = [1, 200];
/// Clients that ask in turn.
const CLIENTS: usize = 5_000;

fn evaluations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("evaluations");
    for count in MODULES {
        let modules: Vec<ModuleName> = (0..count)
            .map(|n| format!("m{n}").parse().expect("it is a name"))
            .collect();
        let adviser = adviser(&modules);
        let ids: Vec<_> = (0..CLIENTS).map(|n| format!("terminal-{n:04}")).collect();
        let mut clients = ids.iter().map(|id| Client::named(id)).cycle();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let client = clients.next().expect("they ask for ever");
                for module in &modules {
                    black_box(adviser.advise(module, &client));
                }
            });
        });
    }
    group.finish();
}

fn adviser(modules: &[ModuleName]) -> Adviser {
    let half = BasisPoints::new(5_000).expect("it is a share");
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
    Adviser::new(Arc::new(flags), Arc::new(Routes::new(routes)), |_| true)
}

criterion_group!(benches, evaluations);
criterion_main!(benches);
