//! OpenFeature Remote Evaluation, OFREP 0.3: what a client is told of each module, as flags `module.{name}` of the value `poll` or
//! `push`.
//!
//! `asker.rs` is who asks, `answer.rs` what it is told, `bulk.rs` and `single.rs` are the two evaluations, `direct.rs` is the short way
//! to the first of them, `stream.rs` says that they would be others now, `held.rs` keeps answers for who asks again, `failure.rs` is what this protocol has in place of problems.
//!
//! Invariants: whoever is told the same gets the same bytes, on every replica: an answer holds nothing but what the [`Adviser`]
//! says and the ticket of its stream, which lasts for hours, and its `ETag` is the hash of its body; a stream says so whenever that has changed for its client, also while it was
//! away, and to nobody else.

mod answer;
mod asker;
pub(super) mod bulk;
pub(super) mod direct;
mod failure;
mod held;
pub(super) mod single;
#[cfg(any(test, fuzzing))]
pub(super) mod strangers;
pub(super) mod stream;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{cors, doors, native, used};
use crate::{
    config::ofrep::Ofrep,
    cutover::{Advice, Adviser},
    domain::{Clock, ModuleName},
    identity::{Accepted, Asking, Identity, Who, passes::Tickets},
    mirror::{StandingChanges, Standings},
    telemetry::usage::Usage,
};

use self::{
    asker::{Asker, Hidden},
    failure::Failure,
    held::Held,
};

/// What evaluations ask.
pub struct OfrepState {
    flags: Arc<[Flag]>,
    adviser: Arc<Adviser>,
    standings: Arc<Standings>,
    settings: Ofrep,
    streams: Arc<Semaphore>,
    held: Held,
    bounds: RequestBounds,
}

/// What bounds requests, and ends them.
pub struct RequestBounds {
    /// How long the body of a request may take.
    pub body_patience: Duration,
    /// The longest audience that a caller may name.
    pub audience_bytes: usize,
    /// Web pages of which origins may ask; `*` for all.
    pub cors_origins: Vec<String>,
    /// Who may ask.
    pub identity: Arc<Identity>,
    /// What stands in the addresses of their streams.
    pub tickets: Arc<Tickets>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Ends streams and waits.
    pub stop: CancellationToken,
    /// Where it is counted what evaluations cost.
    pub usage: Arc<Usage>,
}

/// The flag of a module.
#[derive(Debug)]
struct Flag {
    key: String,
    module: ModuleName,
}

impl OfrepState {
    /// Flags of these modules. `standings` are those behind the adviser.
    pub fn new(
        modules: &[ModuleName],
        adviser: Arc<Adviser>,
        standings: Arc<Standings>,
        settings: Ofrep,
        bounds: RequestBounds,
    ) -> Self {
        let mut modules = modules.to_vec();
        modules.sort_unstable();
        let flag = |module: ModuleName| Flag {
            key: format!("module.{module}"),
            module,
        };
        Self {
            flags: modules.into_iter().map(flag).collect(),
            adviser,
            standings,
            streams: Arc::new(Semaphore::new(settings.streams)),
            held: Held::new(settings.cache_bytes),
            settings,
            bounds,
        }
    }

    /// Who asks.
    async fn who(&self, asking: &Asking<'_>) -> Result<Who, Failure> {
        let who = doors::who(&self.bounds.identity, asking, Accepted::ALL).await;
        Ok(who?)
    }

    /// The flags of modules that take other callers: they are not there for this one.
    async fn hidden(&self, asking: &Asking<'_>, who: &Who) -> Hidden {
        let mut hidden = Vec::new();
        for (n, flag) in self.flags.iter().enumerate() {
            if !self.bounds.identity.takes(&flag.module, asking, who).await {
                hidden.push(n);
            }
        }
        hidden.into()
    }

    /// The only place where an asker becomes what it is told.
    fn advise(&self, module: &ModuleName, asker: &Asker) -> Advice<'_> {
        self.adviser.advise(module, &asker.client())
    }

    /// To be asked for before what is compared with what comes later.
    fn changes(&self) -> Changes {
        Changes {
            flags: self.adviser.flags().changes(),
            standings: self.standings.changes(),
        }
    }
}

/// A wait for anything that may make evaluations others.
struct Changes {
    flags: watch::Receiver<u64>,
    standings: StandingChanges,
}

impl Changes {
    /// Returns after the next change; at once if one was missed.
    async fn next(&mut self) {
        tokio::select! {
            changed = self.flags.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            () = self.standings.next() => {}
        }
    }
}

/// The routes below `/ofrep`.
pub(super) fn routes(state: Arc<OfrepState>) -> Router {
    let identity = &state.bounds.identity;
    let cors = cors::layer(&state.bounds.cors_origins, identity);
    let vary = identity.places().vary().clone();
    let body = DefaultBodyLimit::max(state.settings.body_bytes);
    let routes = Router::new()
        .route("/ofrep/v1/evaluate/flags", post(bulk::evaluate))
        .route("/ofrep/v1/evaluate/flags/{key}", post(single::evaluate))
        .layer(body)
        .route("/ofrep/v1/sse", get(stream::open))
        .layer(middleware::from_fn_with_state(
            state.bounds.usage.of_others(),
            used::count_others,
        ))
        .method_not_allowed_fallback(native::wrong_method)
        .layer(middleware::from_fn_with_state(
            vary,
            native::with_safe_headers,
        ))
        .with_state(state);
    match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}
