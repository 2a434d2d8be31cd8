//! The parts that the tasks of the process share, made from the configuration.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    config::Config,
    cutover::{Acts, Flags},
    domain::{ModuleName, SystemClock},
    http::{
        Router,
        private::PrivateState,
        public::{self, PublicState},
    },
    log::{
        Admission, Ingest, IngestWriter, Leadership, Reader, Refresh, Rules, Served, Tail, Waiting,
    },
    mirror,
    poll::{self, Endpoint, Sources},
    store::{ChangeLog, Store},
    telemetry::{self, Readiness},
};

/// What the tasks share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) served: Served,
    pub(super) store: Arc<dyn Store>,
    pub(super) tail: Arc<Tail>,
    pub(super) leadership: Arc<Leadership>,
    pub(super) refresh: Arc<Refresh>,
    pub(super) flags: Arc<Flags>,
    pub(super) ingest: Ingest,
    /// Makes the sequencer look at the outbox at once.
    pub(super) wake: Arc<Notify>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) admission: Arc<Admission>,
    /// Ends the waits, before anything else is stopped.
    pub(super) no_more_waits: CancellationToken,
}

impl Parts {
    /// The parts, and the ingest writer that is still to be started. To be called after the metrics
    /// recorder is installed.
    pub(super) fn new(config: Arc<Config>, store: Arc<dyn Store>) -> (Self, IngestWriter) {
        let served = served(&config);
        let wake = Arc::new(Notify::new());
        let (ingest, writer) =
            IngestWriter::new(Arc::clone(&store), &config.ingest, Arc::clone(&wake));
        let patience = Duration::from_millis(config.database.acquire_timeout_ms);
        let tail = Arc::new(Tail::new(&config.tail, &served.modules));
        let no_more_waits = CancellationToken::new();
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
                &served.modules,
                rand::random,
            )),
            no_more_waits,
            tail,
            leadership: Arc::default(),
            refresh: Arc::new(Refresh::new(patience)),
            flags: Arc::new(Flags::new(&served.modules)),
            readiness: Arc::default(),
            config,
            served,
            store,
            ingest,
            wake,
        };
        (parts, writer)
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            bounds: self.config.sequencer.clone(),
            outbox: self.config.outbox.clone(),
            limits: self.config.limits,
        }
    }

    pub(super) fn private_state(&self, mirror: mirror::Status) -> Result<PrivateState, StartError> {
        let metrics = telemetry::install_metrics().map_err(StartError::Metrics)?;
        Ok(PrivateState {
            store: Arc::clone(&self.store),
            tail: Arc::clone(&self.tail),
            leadership: Arc::clone(&self.leadership),
            flags: Arc::clone(&self.flags),
            acts: Arc::new(Acts::new(Arc::clone(&self.store), Arc::clone(&self.flags))),
            mirror,
            ingest: self.ingest.clone(),
            limits: self.config.limits,
            ingest_body_bytes: self.config.ingest.body_bytes,
            readiness: Arc::clone(&self.readiness),
            metrics,
            hosts: self.config.server.private_hosts.clone().into(),
        })
    }

    pub(super) fn public_router(&self) -> Result<Router, StartError> {
        let reader = Arc::new(Reader {
            log: Arc::clone(&self.store) as Arc<dyn ChangeLog + Send + Sync>,
            tail: Arc::clone(&self.tail),
            refresh: Arc::clone(&self.refresh),
            admission: Arc::clone(&self.admission),
        });
        let sources = Arc::new(Sources::new(
            reader,
            Arc::clone(&self.waiting),
            Arc::clone(&self.flags),
            Arc::new(SystemClock),
            &self.config.poll,
        ));
        let endpoint = |contract| {
            let sources = Arc::clone(&sources);
            Arc::new(Endpoint::new(contract, sources, &self.config.poll))
        };
        let contracts = poll::compile(&self.config).map_err(StartError::Contracts)?;
        Ok(public::router(PublicState {
            endpoints: contracts.into_iter().map(endpoint).collect(),
            body_bytes: self.config.poll.body_bytes,
            body_patience: BODY_PATIENCE,
        }))
    }
}

/// How long the body of a legacy poll may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

fn served(config: &Config) -> Served {
    let named = |module: &crate::config::modules::Module| -> Option<(ModuleName, bool)> {
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
    }
}
