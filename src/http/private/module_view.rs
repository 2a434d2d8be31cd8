//! A module as operators see it: every answer that shows one shows it so.

use std::time::SystemTime;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    PrivateState,
    clients::ClientsView,
    gates::{ForcedView, GateView},
    guard::GuardView,
    heads::{FromMemory, Heads},
    moment::rfc3339,
    panic::PanicView,
    rates::RatesView,
    verified::VerifiedView,
};
use crate::{
    domain::{BasisPoints, ModuleName},
    mirror,
    store::StageRecord,
};

/// A module as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModuleView {
    #[schema(value_type = String)]
    module: ModuleName,
    /// Null unless the database does not answer: then this is what the replica that answers remembers, the log as far as it has got,
    /// and `lease_holder` and `gate` are not known.
    from_memory: Option<FromMemory>,
    /// What engineers asked for.
    stage_requested: &'static str,
    /// What is in force.
    stage_effective: &'static str,
    /// Why that is in force, as clients are told: a stable word.
    effective_reason: &'static str,
    /// What sends its clients back to polling.
    panics: Vec<PanicView>,
    /// The guard of each of its targets; empty if there are none.
    guard: Vec<GuardView>,
    /// Why engineers asked for the stage.
    reason: String,
    /// The share of the clients that are told to push at `ramp`.
    percent: f64,
    /// Who is told to push at `ramp` whatever the share.
    include: Vec<String>,
    /// Who is told to poll at `ramp` in any case.
    exclude: Vec<String>,
    /// Which share of the clients is told to connect to which target; empty if none gets the module.
    routes: Vec<RouteView>,
    /// When the polls are to end, if that is planned; else `[modules.sunset]` says it.
    ends_at: Option<String>,
    /// When polls are refused for a while at `sunset`, in UTC.
    brownouts: Vec<String>,
    /// Whose polls are refused at `sunset`.
    block: Vec<String>,
    paused: bool,
    version: i64,
    changed_by: String,
    changed_at: Option<String>,
    epoch: u32,
    head: u64,
    retained_from: u64,
    /// Who numbers the log; null if nobody does.
    lease_holder: Option<String>,
    /// Its clients, as last counted; null before the first count, or without a census.
    clients: Option<ClientsView>,
    /// What the next step forward asks for, if there is one. Only where one module is asked for by its name.
    gate: Option<GateView>,
    /// What was overridden to come to this stage.
    forced: Option<ForcedView>,
    /// The targets that this replica feeds with the module; empty if another replica does.
    targets: Vec<TargetView>,
    /// How fast it is used on this replica; null in the first moments of a process.
    rates: Option<RatesView>,
}

/// A share of a module's clients.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteView {
    target: String,
    percent: f64,
}

/// One target of a module.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetView {
    target: String,
    connected: bool,
    position: u64,
    behind: u64,
    lag_ms: u64,
    generation: u64,
    halted: Option<String>,
    skipped: Option<String>,
    /// What a subscriber of the target has found; absent without a verifier.
    verified: Option<VerifiedView>,
}

impl TargetView {
    fn all(state: &PrivateState, module: &ModuleName) -> Vec<Self> {
        let now = SystemTime::now().into();
        let targets = state.mirror.targets().iter();
        let view = |target: &std::sync::Arc<mirror::TargetStatus>| {
            let status = target.module(module)?;
            Some(Self {
                target: target.name().to_owned(),
                connected: target.connected(),
                position: status.acknowledged.position.get(),
                behind: status.behind,
                lag_ms: u64::try_from(status.lag(now).as_millis()).unwrap_or(u64::MAX),
                generation: status.generation,
                halted: status.halted,
                skipped: status.skipped,
                verified: VerifiedView::new(target.verification(), module),
            })
        };
        targets.filter_map(view).collect()
    }
}

impl ModuleView {
    pub(super) fn new(state: &PrivateState, record: &StageRecord, heads: &Heads) -> Self {
        let evaluation = state.adviser.evaluate_record(record);
        let log = heads.of(state, &record.module);
        Self {
            module: record.module.clone(),
            from_memory: heads.from_memory(),
            stage_requested: record.stage.as_str(),
            stage_effective: evaluation.effective.as_str(),
            effective_reason: evaluation.reason,
            panics: PanicView::over(state, Some(&record.module)),
            guard: GuardView::all(state, &record.module),
            reason: record.reason.clone(),
            percent: percent(record.cohort.basis_points),
            include: record.cohort.include.entries().collect(),
            exclude: record.cohort.exclude.entries().collect(),
            routes: routes(state, record),
            ends_at: record.ending.at.map(rfc3339),
            brownouts: record.ending.brownouts.entries().collect(),
            block: record.ending.block.entries().collect(),
            paused: record.paused,
            version: record.version,
            changed_by: record.changed_by.clone(),
            changed_at: (record.version > 0).then(|| rfc3339(record.changed_at)),
            epoch: log.epoch,
            head: log.head,
            retained_from: log.retained_from,
            lease_holder: log.lease_holder,
            clients: ClientsView::of(state, &record.module),
            gate: None,
            forced: ForcedView::new(record),
            targets: TargetView::all(state, &record.module),
            rates: RatesView::new(state, &record.module),
        }
    }

    /// With what its next step asks for.
    pub(super) fn asking(self, gate: Option<GateView>) -> Self {
        Self { gate, ..self }
    }
}

fn routes(state: &PrivateState, record: &StageRecord) -> Vec<RouteView> {
    let first = state.routes.first(&record.module);
    let shares = first.map(|first| record.routing.shares(first));
    let view = |(target, share): (&str, BasisPoints)| RouteView {
        target: target.to_owned(),
        percent: percent(share),
    };
    shares.unwrap_or_default().into_iter().map(view).collect()
}

fn percent(share: BasisPoints) -> f64 {
    f64::from(share.get()) / 100.0
}
