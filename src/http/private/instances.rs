//! `GET /admin/v1/instances`: the processes that share the database, and what each holds.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    PrivateState, database_problem,
    moment::rfc3339,
    query::{NoQuery, QueryOf},
};
use crate::{http::Problem, store::Instance};

/// All processes that share the database.
#[derive(Debug, Serialize, ToSchema)]
pub struct Instances {
    instances: Vec<InstanceView>,
}

/// A process as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceView {
    /// Its `server.instance`.
    instance: String,
    /// Whether it is the one that answers.
    answering: bool,
    /// Whether it has been heard of within its `sequencer.lease_ms`. Dead ones are shown for an hour.
    alive: bool,
    /// Since when it is one of them; null while it starts.
    since: Option<String>,
    /// By the database's clock.
    heard_at: String,
    /// How many modules it numbers and mirrors.
    modules: usize,
    /// The modules that it asks others to hand over.
    asks_for: Vec<String>,
    /// The target that is its own broker, if it has one.
    embedded_target: Option<String>,
}

impl InstanceView {
    fn new(one: Instance, run: i64) -> Self {
        Self {
            answering: one.run == run,
            instance: one.name,
            alive: one.alive,
            since: one.since.map(rfc3339),
            heard_at: rfc3339(one.heartbeat),
            modules: if one.alive { one.holds } else { 0 },
            asks_for: one.wants.iter().map(ToString::to_string).collect(),
            embedded_target: one.embedded,
        }
    }
}

/// Lists the processes that share the database, by name.
#[utoipa::path(
    get, path = "/admin/v1/instances", operation_id = "listInstances", tag = "Cutover",
    responses(
        (status = 200, description = "who lives, and what each holds", body = Instances),
        (status = 400, description = "it takes no query"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<Json<Instances>, Problem> {
    let all = state.store.instances().await;
    let all = all.map_err(|error| database_problem(&error))?;
    let run = state.presence.run();
    let view = |one| InstanceView::new(one, run);
    Ok(Json(Instances {
        instances: all.into_iter().map(view).collect(),
    }))
}
