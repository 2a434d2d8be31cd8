//! The parts that the tasks of the process share, made from the configuration.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::Notify};
use tokio_util::sync::CancellationToken;

use super::{
    StartError, UsageWriter,
    configured::{guards, presence, retention, routes, served},
};
use crate::{
    config::{Config, modules, mqtt},
    cutover::{
        Acts, Adviser, Census, CensusKeeper, Flags, Gatekeeper, Panic, PanicActs, Routes,
        guard::Guards,
    },
    domain::{ModuleName, SystemClock},
    http::{
        private::{PrivateState, Worth},
        public::{self, NativeState, OfrepState, Public, PublicState, RequestBounds},
    },
    log::{
        Admission, Epochs, Ingest, IngestWriter, Leadership, Presence, Reader, Refresh, Retention,
        Rules, Served, StateKeeper, Tail, Waiting, Witnesses,
    },
    mirror::{self, Directions, Sessions, Standings, TargetActs},
    native::{self, Reads},
    poll::{self, Route, Sources},
    store::{ChangeLog, Store},
    telemetry::{self, Readiness, usage::Usage},
};

/// What the tasks share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) served: Served,
    pub(super) store: Arc<dyn Store>,
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

/// How long the body of a poll may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

impl Parts {
    /// The parts, and the ingest writer that is still to be started. To be called after the metrics
    /// recorder is installed.
    pub(super) fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        census: Arc<Census>,
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
                config.census.enabled,
            )),
            routes,
            standings: Arc::default(),
            readiness,
            usage: Arc::new(Usage::of(&served.modules, Instant::now())),
            config,
            served,
            store,
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

    pub(super) fn private_state(
        &self,
        mirror: mirror::Status,
        asyncapi: Arc<mirror::AsyncApi>,
    ) -> Result<PrivateState, StartError> {
        let metrics = telemetry::install_metrics().map_err(StartError::Metrics)?;
        Ok(PrivateState {
            store: Arc::clone(&self.store),
            tail: Arc::clone(&self.tail),
            presence: Arc::clone(&self.presence),
            leadership: Arc::clone(&self.leadership),
            flags: Arc::clone(&self.flags),
            retention: Arc::clone(&self.retention),
            epochs: Arc::clone(&self.epochs),
            acts: Arc::new(self.acts()),
            gatekeeper: Arc::clone(&self.gatekeeper),
            panic_acts: Arc::clone(&self.panic_acts),
            adviser: Arc::new(self.adviser()),
            guards: Arc::clone(&self.guards),
            census: Arc::clone(&self.census),
            routes: Arc::clone(&self.routes),
            targets: self.config.mqtt.effective_targets().into(),
            topic_prefix: self.config.mqtt.topic_prefix.as_str().into(),
            target_acts: Arc::new(self.target_acts()),
            mirror,
            ingest: self.ingest.clone(),
            limits: self.config.limits,
            ingest_body_bytes: self.config.ingest.body_bytes,
            readiness: Arc::clone(&self.readiness),
            metrics,
            usage: Arc::clone(&self.usage),
            worth: Arc::new(self.worth()),
            asyncapi,
            hosts: self.config.server.private_hosts.clone().into(),
        })
    }

    fn worth(&self) -> Worth {
        let modules = self.config.modules_by_name().into_iter();
        let known = |(name, module): (ModuleName, &modules::Module)| (name, module.savings.clone());
        Worth {
            settings: self.config.savings.clone(),
            modules: modules.map(known).collect(),
        }
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

    fn acts(&self) -> Acts {
        let (store, flags) = (Arc::clone(&self.store), Arc::clone(&self.flags));
        Acts::new(
            store,
            flags,
            Arc::clone(&self.routes),
            Arc::clone(&self.census),
            Arc::clone(&self.gatekeeper),
        )
    }

    fn target_acts(&self) -> TargetActs {
        let targets = self.config.mqtt.effective_targets().into_iter();
        let with_modules = |target: mqtt::Target| {
            let modules = self.served.modules.iter();
            let taken = modules.filter(|module| target.takes(module)).cloned();
            (target.name.clone(), taken.collect())
        };
        let targets: BTreeMap<_, _> = targets.map(with_modules).collect();
        TargetActs::new(
            Arc::clone(&self.store),
            Arc::clone(&self.standings),
            (Arc::clone(&self.flags), Arc::clone(&self.routes)),
            targets,
        )
    }

    fn adviser(&self) -> Adviser {
        let standings = Arc::clone(&self.standings);
        let is_fed = move |target: &str| standings.is_fed(target);
        Adviser::new(Arc::clone(&self.flags), Arc::clone(&self.routes), is_fed)
            .guarded_by(Arc::clone(&self.guards))
    }

    fn ofrep(&self, adviser: &Arc<Adviser>) -> OfrepState {
        OfrepState::new(
            &self.served.modules,
            Arc::clone(adviser),
            Arc::clone(&self.standings),
            self.config.ofrep.clone(),
            RequestBounds {
                body_patience: BODY_PATIENCE,
                audience_bytes: self.config.limits.audience_bytes,
                cors_origins: self.config.server.cors_origins.clone(),
                stop: self.no_more_waits.clone(),
                usage: Arc::clone(&self.usage),
            },
        )
    }

    /// Where clients are sent.
    pub(super) fn directions(&self) -> Directions {
        Directions::new(Arc::new(self.adviser()), Arc::clone(&self.standings))
    }

    pub(super) fn public(
        &self,
        asyncapi: Arc<mirror::AsyncApi>,
        bound: mirror::Bound,
    ) -> Result<Public, StartError> {
        let reader = Arc::new(Reader {
            log: Arc::clone(&self.store) as Arc<dyn ChangeLog + Send + Sync>,
            tail: Arc::clone(&self.tail),
            refresh: Arc::clone(&self.refresh),
            admission: Arc::clone(&self.admission),
        });
        let adviser = Arc::new(self.adviser());
        let clock = Arc::new(SystemClock);
        let sessions = Sessions::new(
            &self.config,
            bound,
            self.directions(),
            Arc::clone(&self.census),
            clock,
        );
        let sources = Sources::new(
            Arc::clone(&reader),
            Arc::clone(&self.waiting),
            (Arc::clone(&adviser), Arc::clone(&self.census)),
            Arc::new(SystemClock),
            &self.config.poll,
        );
        let presence = Arc::clone(&self.presence);
        let sources = sources.by_database(move |now| presence.database_time(now));
        let sources = Arc::new(sources.counting(Arc::clone(&self.usage)));
        let native = NativeState {
            reads: Arc::new(self.native_reads(&reader)),
            sessions: Arc::new(sessions),
            adviser: Arc::clone(&adviser),
            census: Arc::clone(&self.census),
            session_body_bytes: self.config.session.body_bytes,
            usage: Arc::clone(&self.usage),
            clock: Arc::new(SystemClock),
            body_patience: BODY_PATIENCE,
            audience_bytes: self.config.limits.audience_bytes,
            cors_origins: self.config.server.cors_origins.clone(),
        };
        let route = |site| Arc::new(Route::new(site, &sources, &self.config.poll));
        let sites = poll::compile(&self.config).map_err(StartError::Contracts)?;
        let legacy = PublicState {
            endpoints: sites.into_iter().map(route).collect(),
            body_bytes: self.config.poll.body_bytes,
            body_patience: BODY_PATIENCE,
            modules: self.served.modules.clone(),
            asyncapi,
            compress_above_bytes: self.config.server.compress_above_bytes,
            proxies: self.config.server.proxies(),
        };
        let flags = public::ofrep_routes(self.ofrep(&adviser));
        let others = public::native_routes(native).merge(flags);
        Ok(public::service(legacy, others))
    }

    fn native_reads(&self, reader: &Arc<Reader>) -> Reads {
        let modules = self.config.modules.iter();
        let for_everyone = modules.filter(|module| self.config.is_for_everyone(module));
        let served = native::Served {
            with_state: self.served.with_state.clone(),
            for_everyone: for_everyone.map(modules::Module::module_name).collect(),
        };
        Reads::new(
            Arc::clone(reader),
            Arc::clone(&self.waiting),
            self.config.native.clone(),
            served,
        )
    }
}
