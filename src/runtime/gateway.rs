//! The gateway: every part of the process, started in order and stopped in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch};

use super::{
    Abort, RunError, StartError, configured,
    cuts::Cuts,
    entrances::Entrances,
    facts,
    listeners::{Around, Listeners},
    maintenance,
    parts::Parts,
    schema,
    states::make_states_whole,
    targets::Targets,
    tasks::{Rank, Tasks},
};
use crate::{
    config::Config,
    domain::{LogId, SystemClock},
    http::{private, public::Public, serving},
    identity::Identity,
    mirror, store, telemetry,
};

/// How the process is started, beside the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether pending migrations are run and missing indexes made; otherwise the former refuse the start, the latter do not.
    pub migrate: bool,
}

/// Where the process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Legacy polls.
    pub public: SocketAddr,
    /// Ingest, admin API, metrics.
    pub private: SocketAddr,
    /// The embedded broker's MQTT port, if there is one.
    pub mqtt: Option<SocketAddr>,
    /// Its MQTT over WebSocket, if wanted.
    pub websocket: Option<SocketAddr>,
}

/// A started gateway: listeners are bound, tasks run, and it becomes ready as [`Gateway::run`]
/// goes on.
pub struct Gateway {
    parts: Parts,
    tasks: Tasks,
    addresses: Addresses,
    /// Each true once the tail is filled, or the flags, the panics or the guards are read.
    prerequisites: Vec<watch::Receiver<bool>>,
    /// Accepts once the prerequisites are met; until then connections wait.
    public: Option<(TcpListener, serving::Walls, Public)>,
    cuts: Cuts,
}

impl Gateway {
    /// Opens the database, binds the listeners and starts the tasks.
    pub async fn start(config: Config, options: Options) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let store = store::open(&config.database, &config.sequencer).await?;
        schema::prepare(store.as_ref(), &config, options).await?;
        let log = store.log_id(LogId::new(rand::random())).await?;
        let listeners = Listeners::bind(&config)?;
        let census = Arc::new(configured::census(&config));
        let identity = Identity::new(&config, Arc::new(SystemClock), rand::random());
        let identity = Arc::new(identity.map_err(StartError::Callers)?);
        let entrances = Entrances::new(&config, identity);
        let targets = Targets::bind(&config, &census, &entrances)?;
        let addresses = Addresses {
            public: listeners.public_address()?,
            private: listeners.private_address()?,
            mqtt: targets.mqtt,
            websocket: targets.websocket,
        };
        telemetry::install_metrics().map_err(StartError::Metrics)?;
        // What files may lack is found before this replica joins the others.
        let mut tasks = Tasks::default();
        let around = Around::raise(&config, &mut tasks)?;
        entrances.door()?;
        let (parts, ingest_writer) = Parts::new(config, (store, log), census, entrances);
        let keeper = parts.state_keeper();
        make_states_whole(&keeper).await?;
        parts.presence.join(&*parts.store).await?;
        maintenance::start_operators(&mut tasks, &parts).await?;
        let mut prerequisites = maintenance::start_log(&mut tasks, &parts, ingest_writer);
        tasks.spawn(Rank::Sequencer, "states", |stop| keeper.run(stop));
        let identity = Arc::clone(&parts.identity);
        tasks.spawn(Rank::Reader, "callers", |stop| async move {
            identity.keep(stop).await;
        });
        maintenance::start_upkeep(&mut tasks, &parts)?;
        let mirror = targets.start(&mut tasks, &parts);
        facts::report(&mut tasks, &parts, &mirror);
        prerequisites.extend(parts.entrances.start(&mut tasks, &parts.store));
        prerequisites.extend(maintenance::start_guards(&mut tasks, &parts, &mirror));
        let bound = mirror::Bound {
            mqtt: addresses.mqtt,
            websocket: addresses.websocket,
        };
        let asyncapi = parts.asyncapi(bound);
        let private = private::router(parts.private_state(mirror, Arc::clone(&asyncapi))?);
        let cuts = Cuts::default();
        let cut = cuts.private.clone();
        tasks.spawn(Rank::Private, "private listener", |stop| {
            let (service, end) = (serving::routed(private), serving::End { stop, cut });
            let service = move |peer| serving::from(service.clone(), peer);
            serving::serve(listeners.private, service, around.private, end)
        });
        let public = parts.public(asyncapi, bound)?;
        let public = Some((listeners.public, around.public, public));
        Ok(Self {
            parts,
            tasks,
            addresses,
            prerequisites,
            public,
            cuts,
        })
    }

    /// Where the process listens, ports that the system chose included.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown` returns, then ends in order.
    pub async fn run(mut self, shutdown: impl Future<Output = Abort>) -> Result<(), RunError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let prerequisites = self.prerequisites.clone();
        let presence = Arc::clone(&self.parts.presence);
        let displaced = async {
            presence.displaced().await;
            RunError::Displaced(presence.name().to_owned())
        };
        let mut displaced = std::pin::pin!(displaced);
        let ended = tokio::select! {
            abort = &mut shutdown => Ok(abort),
            error = &mut displaced => Err(error),
            name = self.tasks.first_end() => Err(RunError::TaskEnded(name)),
            () = met(prerequisites) => {
                self.open_to_the_public();
                tokio::select! {
                    abort = &mut shutdown => Ok(abort),
                    error = &mut displaced => Err(error),
                    name = self.tasks.first_end() => Err(RunError::TaskEnded(name)),
                }
            }
        };
        self.end(ended).await
    }

    fn open_to_the_public(&mut self) {
        let Some((listener, walls, public)) = self.public.take() else {
            return;
        };
        let public = Arc::new(public);
        let cut = self.cuts.public.clone();
        self.tasks.spawn(Rank::Public, "public listener", |stop| {
            serving::serve(
                listener,
                move |peer| public.service(peer),
                walls,
                serving::End { stop, cut },
            )
        });
        self.parts.readiness.become_ready();
        let at = self.addresses;
        let mqtt = at.mqtt.map(tracing::field::display);
        let websocket = at.websocket.map(tracing::field::display);
        tracing::info!(public = %at.public, private = %at.private, mqtt, websocket, "ready");
    }

    /// The orderly end, after a signal or after what nobody asked for.
    async fn end(self, why: Result<Abort, RunError>) -> Result<(), RunError> {
        self.parts.readiness.become_stopping();
        self.parts.no_more_waits.cancel();
        let drain = Duration::from_millis(self.parts.config.server.drain_ms);
        tracing::info!("stopping");
        let stopping = async {
            tokio::select! {
                in_time = self.tasks.stop(drain) => in_time,
                never = self.cuts.run(drain) => match never {},
            }
        };
        let in_time = match why {
            Ok(abort) => tokio::select! {
                in_time = stopping => in_time,
                () = abort.requested() => return Err(RunError::Aborted),
            },
            Err(error) => {
                stopping.await;
                return Err(error);
            }
        };
        self.parts.store.close().await;
        if !in_time {
            return Err(RunError::Late);
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn met(prerequisites: Vec<watch::Receiver<bool>>) {
    for mut prerequisite in prerequisites {
        if prerequisite.wait_for(|met| *met).await.is_err() {
            // Its task has ended, which the supervisor reports.
            std::future::pending::<()>().await;
        }
    }
}
