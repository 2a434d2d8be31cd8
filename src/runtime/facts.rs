//! How the mirror of this replica's modules stands, as the gates' reporter writes it down.

use std::{sync::Arc, time::SystemTime};

use super::{
    parts::Parts,
    tasks::{Rank, Tasks},
};
use crate::{
    cutover::{FactsReporter, Report, Verified},
    domain::{Micros, ModuleName},
    log::Leadership,
    mirror::{self, ModuleStatus, Outcome, TargetStatus},
    store::{Findings, MirrorFact},
};

/// Starts the reporter. It ends with the mirror, while the leases are still held.
pub(super) fn report(tasks: &mut Tasks, parts: &Parts, mirror: &mirror::Status) {
    let (mirror, leadership) = (mirror.clone(), Arc::clone(&parts.leadership));
    let reporter = FactsReporter::new(
        Arc::clone(&parts.store),
        parts.config.gates.clone(),
        move || reports(&mirror, &leadership),
    );
    tasks.spawn(Rank::Mirror, "facts reporter", |stop| reporter.run(stop));
}

fn reports(mirror: &mirror::Status, leadership: &Leadership) -> Vec<Report> {
    let now = SystemTime::now().into();
    let of_target = |target: &Arc<TargetStatus>| {
        let modules = target.modules().into_iter();
        let of_module = |(module, status): (ModuleName, ModuleStatus)| {
            Some(Report {
                lease: leadership.lease(&module)?,
                verified: verified(target, &module),
                fact: fact(target, module, status, now),
            })
        };
        modules.filter_map(of_module).collect::<Vec<_>>()
    };
    mirror.targets().iter().flat_map(of_target).collect()
}

fn fact(
    target: &TargetStatus,
    module: ModuleName,
    status: ModuleStatus,
    now: Micros,
) -> MirrorFact {
    let known = status.behind == 0 || status.oldest.is_some();
    MirrorFact {
        target: target.name().to_owned(),
        module,
        connected: target.connected(),
        trouble: target.trouble().map(String::from),
        behind: status.behind,
        lag: known.then(|| status.lag(now)),
        halted: status.halted,
    }
}

fn verified(target: &TargetStatus, module: &ModuleName) -> Option<Verified> {
    let verification = target.verification();
    let found = verification.module(module)?;
    Some(Verified {
        listening: verification.listening(),
        found: Findings {
            ok: found.count(Outcome::Ok),
            missing: found.count(Outcome::Missing),
            duplicate: found.count(Outcome::Duplicate),
            reordered: found.count(Outcome::Reordered),
            previous: found.count(Outcome::Previous),
            late: found.count(Outcome::Late),
            foreign: found.count(Outcome::Foreign),
            unobserved: found.count(Outcome::Unobserved),
        },
    })
}
