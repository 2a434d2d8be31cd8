//! Who asks the database for the facts of a gate.

use std::{sync::Arc, time::Duration};

use super::{
    Gate, Poller, Pollers, RampFacts, RetiredFacts, SunsetFacts, TargetFacts, caveats,
    kept::{Kept, KeptBy, Wanted},
    ramp, retired, sunset,
};
use crate::{
    config::gates::Gates,
    cutover::Routes,
    domain::{Micros, ModuleName, Stage, Standing},
    store::{self, ClientCount, Result, StageRecord, Store, TargetRecord},
};

/// Who knows what a step asks for.
pub struct Gatekeeper {
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    settings: Gates,
    /// What is no gap in the census; absent = there is none.
    census_gap: Option<Duration>,
    counts: Arc<Kept<Arc<[ClientCount]>>>,
    /// Of each module that was asked about: those that are configured, at most.
    pollers: KeptBy<ModuleName, Arc<store::Pollers>>,
}

/// The word of the audit for a trip of the guard.
const TRIP: &str = "guard-trip";

/// Pollers and programs that are named. There may be more.
const NAMED: u32 = 50;

impl Gatekeeper {
    /// Gates by these settings. Without a census of clients, whose gaps are longer than `census_gap`, nothing is known of them, whatever one
    /// has left behind.
    pub fn new(
        store: Arc<dyn Store>,
        routes: Arc<Routes>,
        settings: Gates,
        census_gap: Option<Duration>,
    ) -> Self {
        Self {
            store,
            routes,
            settings,
            census_gap,
            counts: Arc::default(),
            pollers: KeptBy::default(),
        }
    }

    /// Whether steps that do not pass are refused.
    pub const fn enforces(&self) -> bool {
        self.settings.enforce
    }

    /// The gate before a stage, as it stands for a module now; `None` if there is none: nothing is asked before the first stages.
    pub async fn before(&self, step: Stage, record: &StageRecord) -> Result<Option<Gate>> {
        self.gate(step, record, Wanted::New).await
    }

    /// The same for those who look and do not act: what costs the database much may be half a minute old.
    pub async fn looked_at(&self, step: Stage, record: &StageRecord) -> Result<Option<Gate>> {
        self.gate(step, record, Wanted::Kept).await
    }

    /// The gate before the module's next stage, if there is one, to be looked at.
    pub async fn ahead(&self, record: &StageRecord) -> Result<Option<Gate>> {
        match record.stage.next() {
            Some(step) => self.looked_at(step, record).await,
            None => Ok(None),
        }
    }

    async fn gate(
        &self,
        step: Stage,
        record: &StageRecord,
        wanted: Wanted,
    ) -> Result<Option<Gate>> {
        let settings = &self.settings;
        if step < Stage::Ramp {
            return Ok(None);
        }
        let mirrored = self.mirrored(record).await?;
        let caveats = caveats::of(&mirrored.targets, mirrored.now, settings);
        let checks = match step {
            Stage::Proxy | Stage::Shadow | Stage::Mirror => return Ok(None),
            Stage::Ramp => ramp::checks(&self.ramp_facts(record, mirrored).await?, settings),
            Stage::Sunset => {
                let facts = self.sunset_facts(record, mirrored.now, wanted).await?;
                sunset::checks(&facts, settings)
            }
            Stage::Retired => retired::checks(&self.retired_facts(record, wanted).await?, settings),
        };
        Ok(Some(Gate {
            step,
            checks,
            caveats,
        }))
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

    /// How the module's mirror stands on the targets that clients would be told.
    async fn mirrored(&self, record: &StageRecord) -> Result<RampFacts> {
        let told = self.told(record).await?;
        let known = self.store.facts(&record.module).await?;
        let facts = |name: String| TargetFacts {
            seen: known
                .targets
                .iter()
                .find(|seen| seen.fact.target == name)
                .cloned(),
            periods: Vec::new(),
            name,
        };
        Ok(RampFacts {
            now: known.now,
            targets: told.into_iter().map(facts).collect(),
        })
    }

    /// The same, and what their verifiers have found.
    async fn ramp_facts(&self, record: &StageRecord, mut known: RampFacts) -> Result<RampFacts> {
        let since = known.now.minus(self.settings.verified_within.get());
        let periods = self.store.verifier_periods(&record.module, since).await?;
        for target in &mut known.targets {
            let own = periods.iter().filter(|period| period.target == target.name);
            target.periods = own.cloned().collect();
        }
        Ok(known)
    }

    async fn sunset_facts(
        &self,
        record: &StageRecord,
        now: Micros,
        wanted: Wanted,
    ) -> Result<SunsetFacts> {
        let module = &record.module;
        let quiet_since = now.minus(self.settings.quiet_for.get());
        let since = quiet_since.max(record.entered.at);
        let trips = self.store.count_acts(module, TRIP, since).await?;
        let within = self.settings.clients_within.get();
        let store = Arc::clone(&self.store);
        let count = async move || Ok(store.count_clients(within).await?.into());
        let counts = self.counts.get(wanted, count).await?;
        let count = counts.iter().find(|count| count.module == *module);
        let count = count.filter(|_| self.census_gap.is_some());
        let number = |of: fn(&ClientCount) -> u64| count.map_or(0, of);
        Ok(SunsetFacts {
            now,
            entered_at: record.entered.at,
            push: number(|count| count.push),
            poll: number(|count| count.poll),
            fell_back: number(|count| count.fell_back),
            is_exact: count.is_none_or(|count| count.is_exact),
            trips,
        })
    }

    async fn retired_facts(&self, record: &StageRecord, wanted: Wanted) -> Result<RetiredFacts> {
        let module = &record.module;
        let within = self.settings.no_polls_for.get();
        // Before the pollers, as they are for who acts: a gap that ends in between is not missed.
        let known = self.store.known_since(self.census_gap.unwrap_or_default());
        let known = known.await?;
        let (store, asked) = (Arc::clone(&self.store), module.clone());
        let ask = async move || Ok(Arc::new(store.pollers(&asked, within, NAMED).await?));
        let pollers = self.pollers.of(module).get(wanted, ask).await?;
        let known_since = known.modules.get(module).copied();
        Ok(RetiredFacts {
            now: known.now,
            known_since: known_since.filter(|_| self.census_gap.is_some()),
            is_exact: pollers.is_exact,
            pollers: named(&pollers),
        })
    }
}

fn named(found: &store::Pollers) -> Pollers {
    let client = |client: &store::KnownClient| Poller {
        name: client.client_id.clone(),
        agent: Some(client.agent.clone()).filter(|agent| !agent.is_empty()),
        clients: 1,
        last_seen: client.polled_at.unwrap_or(client.last_seen),
    };
    let agent = |agent: &store::PollingAgent| Poller {
        name: agent.agent.clone(),
        agent: None,
        clients: agent.clients,
        last_seen: agent.polled_at,
    };
    Pollers {
        clients: found.total,
        by_client: found.clients.iter().map(client).collect(),
        agents: found.agents_total,
        by_agent: found.agents.iter().map(agent).collect(),
    }
}

fn is_fed(records: &[TargetRecord], target: &str) -> bool {
    let record = records.iter().find(|record| record.target == target);
    record.is_none_or(|record| record.standing == Standing::Active)
}
