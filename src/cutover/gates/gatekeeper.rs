//! Who asks the database for the facts of a gate.

use std::sync::Arc;

use super::{
    Gate, RampFacts, RetiredFacts, SunsetFacts, TargetFacts, check::Pollers, ramp, retired, sunset,
};
use crate::{
    config::gates::Gates,
    cutover::Routes,
    domain::{Stage, Standing},
    store::{Result, StageRecord, Store, TargetRecord},
};

/// Who knows what a step asks for.
pub struct Gatekeeper {
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    settings: Gates,
}

/// The word of the audit for a trip of the guard.
const TRIP: &str = "guard-trip";

impl Gatekeeper {
    /// Gates by these settings.
    pub const fn new(store: Arc<dyn Store>, routes: Arc<Routes>, settings: Gates) -> Self {
        Self {
            store,
            routes,
            settings,
        }
    }

    /// Whether steps that do not pass are refused.
    pub const fn enforces(&self) -> bool {
        self.settings.enforce
    }

    /// The gate before a stage, as it stands for a module now; `None` if there is none: nothing is asked before the first stages.
    pub async fn before(&self, step: Stage, record: &StageRecord) -> Result<Option<Gate>> {
        let checks = match step {
            Stage::Proxy | Stage::Shadow | Stage::Mirror => return Ok(None),
            Stage::Ramp => ramp::checks(&self.ramp_facts(record).await?, &self.settings),
            Stage::Sunset => sunset::checks(&self.sunset_facts(record).await?, &self.settings),
            Stage::Retired => retired::checks(&self.retired_facts(record).await?, &self.settings),
        };
        Ok(Some(Gate { step, checks }))
    }

    /// The gate before the module's next stage, if there is one.
    pub async fn ahead(&self, record: &StageRecord) -> Result<Option<Gate>> {
        match record.stage.next() {
            Some(step) => self.before(step, record).await,
            None => Ok(None),
        }
    }

    /// The targets that clients of the module would be told: those that anything is sent to.
    pub async fn told(&self, record: &StageRecord) -> Result<Vec<String>> {
        let records = self.store.target_records().await?;
        let told = self
            .routes
            .told_targets(&record.module, &record.routing, |target| {
                is_fed(&records, target)
            });
        Ok(told.into_iter().map(str::to_owned).collect())
    }

    async fn ramp_facts(&self, record: &StageRecord) -> Result<RampFacts> {
        let told = self.told(record).await?;
        let known = self.store.facts(&record.module).await?;
        let since = known.now.minus(self.settings.verified_within.get());
        let periods = self.store.verifier_periods(&record.module, since).await?;
        let facts = |name: String| TargetFacts {
            seen: known
                .targets
                .iter()
                .find(|seen| seen.fact.target == name)
                .cloned(),
            periods: periods
                .iter()
                .filter(|period| period.target == name)
                .cloned()
                .collect(),
            name,
        };
        Ok(RampFacts {
            now: known.now,
            targets: told.into_iter().map(facts).collect(),
        })
    }

    async fn sunset_facts(&self, record: &StageRecord) -> Result<SunsetFacts> {
        let module = &record.module;
        let now = self.store.facts(module).await?.now;
        let quiet_since = now.minus(self.settings.quiet_for.get());
        let since = quiet_since.max(record.entered.at);
        let trips = self.store.count_acts(module, TRIP, since).await?;
        Ok(SunsetFacts {
            now,
            entered_at: record.entered.at,
            trips,
            ..SunsetFacts::default()
        })
    }

    async fn retired_facts(&self, record: &StageRecord) -> Result<RetiredFacts> {
        let now = self.store.facts(&record.module).await?.now;
        Ok(RetiredFacts {
            now,
            known_since: None,
            pollers: Pollers::default(),
        })
    }
}

fn is_fed(records: &[TargetRecord], target: &str) -> bool {
    let record = records.iter().find(|record| record.target == target);
    record.is_none_or(|record| record.standing == Standing::Active)
}
