//! What the public listener asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Parts;
use crate::{
    config::modules,
    cutover::Adviser,
    domain::SystemClock,
    http::public::{self, NativeState, OfrepState, Public, PublicState, RequestBounds},
    identity::{pace::Pace, passes::Tickets},
    log::Reader,
    mirror::{self, Sessions},
    native::{self, Reads},
    poll::{self, Route, Sources},
    runtime::StartError,
    store::ChangeLog,
};

/// How long the body of a poll may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

impl Parts {
    pub(in crate::runtime) fn public(
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
            self.entrances.credentials(),
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
        let sources = sources.asking(Arc::clone(&self.identity));
        let sources = Arc::new(sources.counting(Arc::clone(&self.usage)));
        let native = NativeState {
            reads: Arc::new(self.native_reads(&reader)),
            sessions: Arc::new(sessions),
            identity: Arc::clone(&self.identity),
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
            identity: Arc::clone(&self.identity),
            cors_origins: self.config.server.cors_origins.clone(),
            url_bytes: self.config.server.max_url_bytes,
            pace: Arc::new(Pace::new(&self.config.rate, Instant::now())),
        };
        let native = public::native_routes(native);
        Ok(public::service(legacy, native, Some(self.ofrep(&adviser))))
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
                identity: Arc::clone(&self.identity),
                tickets: Arc::new(self.tickets()),
                clock: Arc::new(SystemClock),
                stop: self.no_more_waits.clone(),
                usage: Arc::clone(&self.usage),
            },
        )
    }

    fn tickets(&self) -> Tickets {
        let kept = self.config.auth.passes.keep.get();
        Tickets::new(
            Arc::clone(&self.identity),
            self.entrances.ring(),
            Arc::new(SystemClock),
            self.config.ofrep.ticket(kept),
        )
    }
}
