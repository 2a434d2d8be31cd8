//! The parts that the tasks of the process share, made from the configuration.

mod private;
mod public;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::Notify};
use tokio_util::sync::CancellationToken;

use super::{
    UsageWriter,
    configured::{guards, presence, retention, routes, served},
    entrances::Entrances,
};
use crate::{
    config::Config,
    cutover::{
        Adviser, Census, CensusKeeper, Flags, Gatekeeper, Panic, PanicActs, Routes, guard::Guards,
    },
    domain::{LogId, SystemClock},
    identity::{Identity, operators::Operators},
    log::{
        Admission, Epochs, Ingest, IngestWriter, Leadership, Presence, Refresh, Retention, Rules,
        Served, StateKeeper, Tail, Waiting, Witnesses,
    },
    mirror::{self, Directions, Standings},
    store::Store,
    telemetry::{Readiness, usage::Usage},
};

/// What the tasks share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) served: Served,
    /// Who may ask.
    pub(super) identity: Arc<Identity>,
    /// With what clients enter the brokers.
    pub(super) entrances: Entrances,
    pub(super) store: Arc<dyn Store>,
    /// The database's identity.
    pub(super) log: LogId,
    pub(super) tail: Arc<Tail>,
    pub(super) presence: Arc<Presence>,
    pub(super) leadership: Arc<Leadership>,
    pub(super) refresh: Arc<Refresh>,
    pub(super) witnesses: Arc<Witnesses>,
    pub(super) epochs: Arc<Epochs>,
    pub(super) flags: Arc<Flags>,
    /// What sends clients back to polling.
    pub(super) panic: Arc<Panic>,
    pub(super) panic_acts: Arc<PanicActs>,
    /// What tells clients to poll while the mirror fails them.
    pub(super) guards: Arc<Guards>,
    /// Which targets get which module.
    pub(super) routes: Arc<Routes>,
    /// Who was last seen how.
    pub(super) census: Arc<Census>,
    /// What steps forward ask for.
    pub(super) gatekeeper: Arc<Gatekeeper>,
    /// What operators want of the targets.
    pub(super) standings: Arc<Standings>,
    pub(super) retention: Arc<Retention>,
    /// Who may do what at the private listener.
    pub(super) operators: Arc<Operators>,
    pub(super) ingest: Ingest,
    /// Makes the sequencer look at the outbox at once.
    pub(super) wake: Arc<Notify>,
    pub(super) readiness: Arc<Readiness>,
    /// What this process has counted.
    pub(super) usage: Arc<Usage>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) admission: Arc<Admission>,
    /// Ends the waits, before anything else is stopped.
    pub(super) no_more_waits: CancellationToken,
}

impl Parts {
    /// The parts, and the ingest writer that is still to be started. To be called after the metrics
    /// recorder is installed.
    pub(super) fn new(
        config: Arc<Config>,
        (store, log): (Arc<dyn Store>, LogId),
        census: Arc<Census>,
        entrances: Entrances,
    ) -> (Self, IngestWriter) {
        let served = served(&config);
        let wake = Arc::new(Notify::new());
        let readiness = Arc::<Readiness>::default();
        let (ingest, writer) = IngestWriter::new(
            Arc::clone(&store),
            &config.ingest,
            Arc::clone(&wake),
            Arc::clone(&readiness),
        );
        let patience = Duration::from_millis(config.database.acquire_timeout_ms);
        let tail = Arc::new(Tail::new(&config.tail, &served.modules));
        let no_more_waits = CancellationToken::new();
        let leadership = Arc::<Leadership>::default();
        let witnesses = Arc::<Witnesses>::default();
        let epochs = Epochs::new(
            Arc::clone(&store),
            Arc::clone(&tail),
            Arc::clone(&leadership),
            Arc::clone(&witnesses),
            Arc::clone(&wake),
            served.paces.clone(),
            Duration::from_millis(config.sequencer.lease_ms),
        );
        let retention = retention(&config, &store, &leadership);
        let flags = Arc::new(Flags::new(&served.modules));
        let routes = Arc::new(routes(&config));
        let return_over = config.panic.spread.get();
        let panic = Arc::new(Panic::new(Arc::clone(&flags), &served.modules, return_over));
        let panic_acts = PanicActs::new(
            Arc::clone(&store),
            Arc::clone(&panic),
            Arc::new(SystemClock),
        );
        let guards = guards(&config, &flags, &routes, &served.modules);
        let parts = Self {
            waiting: Arc::new(Waiting::new(
                Arc::clone(&tail),
                no_more_waits.clone(),
                config.poll.max_waiting,
                rand::random,
            )),
            admission: Arc::new(Admission::new(
                &config.admission,
                config.database.connections,
                Handle::current().metrics().num_workers(),
                &served.modules,
                rand::random,
            )),
            no_more_waits,
            tail,
            presence: Arc::new(presence(&config)),
            leadership,
            retention: Arc::new(retention),
            witnesses,
            epochs: Arc::new(epochs),
            refresh: Arc::new(Refresh::new(patience)),
            flags,
            panic,
            panic_acts: Arc::new(panic_acts),
            guards: Arc::new(guards),
            census,
            gatekeeper: Arc::new(Gatekeeper::new(
                Arc::clone(&store),
                Arc::clone(&routes),
                config.gates.clone(),
                config.census.enabled.then(|| config.census.gap.get()),
            )),
            routes,
            operators: Arc::new(Operators::new(
                Arc::clone(&store),
                Arc::new(SystemClock),
                rand::random,
                &config.auth,
            )),
            standings: Arc::default(),
            readiness,
            usage: Arc::new(Usage::of(&served.modules, Instant::now())),
            identity: Arc::clone(entrances.identity()),
            config,
            served,
            entrances,
            store,
            log,
            ingest,
            wake,
        };
        (parts, writer)
    }

    pub(super) fn state_keeper(&self) -> StateKeeper {
        StateKeeper::new(
            Arc::clone(&self.store),
            Arc::clone(&self.leadership),
            self.served.with_state.clone(),
        )
    }

    pub(super) fn census_keeper(&self) -> CensusKeeper {
        CensusKeeper::new(
            Arc::clone(&self.census),
            Arc::clone(&self.store),
            Arc::new(SystemClock),
            self.presence.name().to_owned(),
        )
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            bounds: self.config.sequencer.clone(),
            outbox: self.config.outbox.clone(),
            dedup_window: self.config.dedup_window(),
            limits: self.config.limits,
        }
    }

    /// The topics, described, and the brokers that are bound.
    pub(super) fn asyncapi(&self, bound: mirror::Bound) -> Arc<mirror::AsyncApi> {
        let modules = &self.served.modules;
        let described = mirror::AsyncApi::new(&self.config.mqtt, bound, modules);
        Arc::new(described)
    }

    pub(super) fn usage_writer(&self) -> UsageWriter {
        UsageWriter::new(
            Arc::clone(&self.store),
            Arc::clone(&self.usage),
            Arc::clone(&self.flags),
            Arc::new(SystemClock),
            &self.config.savings,
            rand::random(),
        )
    }

    fn adviser(&self) -> Adviser {
        let standings = Arc::clone(&self.standings);
        let is_fed = move |target: &str| standings.is_fed(target);
        Adviser::new(Arc::clone(&self.flags), Arc::clone(&self.routes), is_fed)
            .guarded_by(Arc::clone(&self.guards))
    }

    /// Where clients are sent.
    pub(super) fn directions(&self) -> Directions {
        Directions::new(Arc::new(self.adviser()), Arc::clone(&self.standings))
    }
}
