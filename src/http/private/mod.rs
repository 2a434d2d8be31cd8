//! The private listener: ingest for back ends, the admin API, metrics and health.
//!
//! Invariants: requests name this listener by a known host, and acts come as JSON, so that a page
//! in an operator's browser cannot act here, nor by the cookie of a session (`by_cookie.rs`); whoever is answered has shown a token of a role that
//! the table in `access.rs` names.

mod access;
mod act_body;
mod acts;
mod audit;
mod broker_hooks;
mod by_cookie;
mod caveats;
mod census;
mod clients;
mod compact;
mod description;
mod epochs;
mod gates;
mod guard;
mod heads;
mod health;
mod history;
mod host;
mod ingest;
mod instances;
mod login;
mod metrics;
mod module_view;
mod modules;
mod moment;
mod outbox;
mod panic;
mod preview;
mod rates;
mod savings;
mod security_description;
mod target_acts;
mod targets;
mod tokens;
mod verified;
mod walls;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    routing::{delete, get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;

use super::{Problem, description as descriptions, query};
use crate::{
    config,
    cutover::{Acts, Adviser, Census, Flags, Gatekeeper, PanicActs, Routes, guard::Guards},
    domain::{Limits, ModuleName},
    identity::operators::{Console, Operators},
    log::{Epochs, Ingest, Leadership, Presence, Retention, Tail},
    mirror,
    store::Store,
    telemetry::{Readiness, usage::Usage},
};

pub use broker_hooks::Door;
/// What reads from strangers here.
#[cfg(any(test, fuzzing))]
pub mod strangers {
    pub use super::{broker_hooks::strangers::hooks, ingest::strangers::ingest};
}
pub use savings::Worth;
pub use walls::Walls;

/// What the private endpoints ask.
#[derive(Clone)]
pub struct PrivateState {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The log in memory.
    pub tail: Arc<Tail>,
    /// Who this replica is.
    pub presence: Arc<Presence>,
    /// Which modules this replica numbers.
    pub leadership: Arc<Leadership>,
    /// The flags in force.
    pub flags: Arc<Flags>,
    /// What clients are told.
    pub adviser: Arc<Adviser>,
    /// Where the guards are.
    pub guards: Arc<Guards>,
    /// Which targets get which module.
    pub routes: Arc<Routes>,
    /// How the targets stand.
    pub mirror: mirror::Status,
    /// The configured targets.
    pub targets: Arc<[config::mqtt::Target]>,
    /// The first part of the topics of those that name no other.
    pub topic_prefix: Arc<str>,
    /// Where acts on targets are done.
    pub target_acts: Arc<mirror::TargetActs>,
    /// Where logs are pruned.
    pub retention: Arc<Retention>,
    /// Where epochs begin.
    pub epochs: Arc<Epochs>,
    /// Where acts are done.
    pub acts: Arc<Acts>,
    /// Who was last seen how.
    pub census: Arc<Census>,
    /// What steps forward ask for.
    pub gatekeeper: Arc<Gatekeeper>,
    /// Where panics are raised and lifted.
    pub panic_acts: Arc<PanicActs>,
    /// The way into the outbox.
    pub ingest: Ingest,
    /// Bounds of one change.
    pub limits: Limits,
    /// Largest body of an ingest request.
    pub ingest_body_bytes: usize,
    /// Whether this replica may get traffic.
    pub readiness: Arc<Readiness>,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// What this replica has counted.
    pub usage: Arc<Usage>,
    /// What that is worth.
    pub worth: Arc<Worth>,
    /// The MQTT topics, described.
    pub asyncapi: Arc<mirror::AsyncApi>,
    /// Who may do what.
    pub operators: Arc<Operators>,
    /// Sessions by cookie.
    pub console: Arc<Console>,
    /// Whether the listener itself speaks TLS.
    pub private_tls: bool,
    /// Whether `/metrics` asks for no token.
    pub metrics_open: bool,
    /// Names beside the loopback ones that `Host` may carry.
    pub hosts: Arc<[String]>,
    /// Where brokers ask who may do what.
    pub broker_hooks: Arc<Door>,
    /// The bounds of a request.
    pub walls: Walls,
}

/// Largest body of an act: two full lists of a ramp.
const ACT_BODY_BYTES: usize = 128 * 1024;

/// All routes of the private listener.
pub fn router(state: PrivateState) -> Router {
    let ingest_limit = DefaultBodyLimit::max(state.ingest_body_bytes);
    let (hosts, walls) = (Arc::clone(&state.hosts), state.walls);
    let door = access::Door {
        operators: Arc::clone(&state.operators),
        console: Arc::clone(&state.console),
        metrics_open: state.metrics_open,
        is_tls: state.private_tls,
    };
    let documents = description::documents(&state, &door);
    let hooks = broker_hooks::routes(Arc::clone(&state.broker_hooks));
    Router::new()
        .route("/admin/v1/modules", get(modules::list))
        .route("/admin/v1/modules/{module}", get(modules::one))
        .route("/admin/v1/modules/{module}/history", get(history::history))
        .route("/admin/v1/modules/{module}/compact", post(compact::compact))
        .route("/admin/v1/modules/{module}/epoch", post(epochs::bump))
        .route("/admin/v1/modules/{module}/gates", post(gates::ask))
        .route("/admin/v1/modules/{module}/{act}", post(acts::act))
        .route(
            "/admin/v1/panic",
            get(panic::show).post(panic::raise).delete(panic::lift),
        )
        .route("/admin/v1/census", get(census::list))
        .route("/admin/v1/audit", get(audit::audit))
        .route("/admin/v1/instances", get(instances::list))
        .route("/admin/v1/savings", get(savings::show))
        .route("/admin/v1/targets", get(targets::list))
        .route("/admin/v1/targets/{target}/{act}", post(target_acts::act))
        .route("/admin/v1/outbox/rejected", get(outbox::list))
        .route("/admin/v1/outbox/rejected/retry", post(outbox::retry))
        .route("/admin/v1/outbox/rejected/drop", post(outbox::discard))
        .route("/admin/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/admin/v1/tokens/{id}", delete(tokens::revoke))
        .route("/v1/login", get(login::show).post(login::begin))
        .route("/v1/logout", post(login::end))
        .layer(DefaultBodyLimit::max(ACT_BODY_BYTES))
        .route(
            "/v1/modules/{module}/changes",
            post(ingest::ingest).layer(ingest_limit),
        )
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(state)
        .merge(hooks)
        .merge(descriptions::routes(documents))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(door, access::check))
        .layer(middleware::from_fn_with_state(hosts, host::check))
        .layer(middleware::from_fn_with_state(walls, walls::stand))
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
    )
}

/// The module that a path names, if it is configured.
fn known_module(flags: &Flags, name: &str) -> Result<ModuleName, Problem> {
    let known = name
        .parse()
        .ok()
        .filter(|module| flags.record(module).is_some());
    known.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no module of this name is configured",
        )
    })
}

/// A failed database call, as the caller may know it. The cause is logged here, once.
fn database_problem(error: &crate::store::Error) -> Problem {
    use crate::store::Error;
    match error {
        Error::Unavailable { .. } | Error::LeaseLost { .. } | Error::OutboxChanged { .. } => {
            tracing::warn!(error = ?error, "the database did not answer a request");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not answer",
            )
            .retry_after(RETRY_AFTER_SECS)
        }
        Error::NoRoom { .. } => {
            tracing::error!(error = ?error, "the database has no room for what was requested");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database has no room left",
            )
            .retry_after(RETRY_AFTER_SECS)
        }
        Error::Refused { why } => Problem::new(StatusCode::BAD_REQUEST, why.clone()),
        error => {
            tracing::error!(error = ?error, "the database failed a request");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the database failed in an unexpected way, see the log",
            )
        }
    }
}

/// When callers come back after a database outage.
const RETRY_AFTER_SECS: u32 = 2;
