//! `GET /admin/v1/census`: who was last seen how.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    PrivateState,
    clients::ClientsView,
    database_problem, known_module,
    moment::rfc3339,
    query::{PageSize, QueryOf},
};
use crate::{
    domain::{Clock, Micros, ModuleName, SystemClock, Transport},
    http::Problem,
    store::{ClientFilter, KnownClient},
};

/// Which clients.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CensusQuery {
    /// Of which module; absent = of all.
    module: Option<String>,
    /// On which transport; absent = on any.
    #[param(pattern = "^(poll|push)$")]
    transport: Option<String>,
    /// With such an agent, in which `*` stands for anything; absent = with any.
    #[param(min_length = 1, max_length = 256)]
    agent: Option<String>,
    /// Seen since then; absent = within `census.window`.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[^/]+/.*$")]
    after: Option<String>,
    /// Most clients of the page.
    #[serde(default)]
    #[param(value_type = u32, required = false, default = 100, minimum = 1, maximum = 1000)]
    limit: PageSize<100>,
}

/// A page of the census.
#[derive(Debug, Serialize, ToSchema)]
pub struct CensusPage {
    /// The clients of the modules that are asked for, as last counted; whatever else is asked for. Empty before the first count.
    counts: Vec<CountView>,
    /// By module and id, as it is written, which is up to `census.flush` ago. Those of a module that have no id are one, without id.
    clients: Vec<ClientView>,
    /// What to send as `after`; null = that is all.
    next: Option<String>,
}

/// The clients of one module.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountView {
    #[schema(value_type = String)]
    module: ModuleName,
    #[serde(flatten)]
    clients: ClientsView,
}

/// A client of a module.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientView {
    #[schema(value_type = String)]
    module: ModuleName,
    /// Empty = they have none.
    client_id: String,
    /// How changes reach it.
    #[schema(value_type = String, pattern = "^(poll|push)$")]
    transport: Transport,
    /// Whether it was on push, and polls although it is told to push.
    fell_back: bool,
    /// Its program and version; empty if it says nothing.
    agent: String,
    /// Whose changes it reads, besides everyone's.
    audience: Option<String>,
    /// Where it called from last, with `census.addresses`.
    address: Option<String>,
    first_seen: String,
    last_seen: String,
    polled_at: Option<String>,
    /// When it last gave a sign of push.
    pushed_at: Option<String>,
}

impl From<KnownClient> for ClientView {
    fn from(known: KnownClient) -> Self {
        Self {
            transport: known.transport(),
            fell_back: known.fell_back(),
            module: known.module,
            client_id: known.client_id,
            agent: known.agent,
            audience: known.audience,
            address: known.address,
            first_seen: rfc3339(known.first_seen),
            last_seen: rfc3339(known.last_seen),
            polled_at: known.polled_at.map(rfc3339),
            pushed_at: known.pushed_at.map(rfc3339),
        }
    }
}

/// Who was last seen how, of all replicas.
#[utoipa::path(
    get, path = "/admin/v1/census", operation_id = "getCensus", tag = "Cutover",
    params(CensusQuery),
    responses(
        (status = 200, description = "a page of it", body = CensusPage),
        (status = 400, description = "the query is not as it should be"),
        (status = 404, description = "no such module"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(query): QueryOf<CensusQuery>,
) -> Result<Json<CensusPage>, Problem> {
    let filter = filter(&state, &query)?;
    let clients = state.store.clients(&filter).await;
    let clients = clients.map_err(|error| database_problem(&error))?;
    let is_full = clients.len() == filter.limit as usize;
    let last = clients.last().filter(|_| is_full);
    Ok(Json(CensusPage {
        counts: counts(&state, filter.module.as_ref()),
        next: last.map(|last| format!("{}/{}", last.module, last.client_id)),
        clients: clients.into_iter().map(Into::into).collect(),
    }))
}

fn counts(state: &PrivateState, module: Option<&ModuleName>) -> Vec<CountView> {
    let mut modules: Vec<_> = state.tail.modules().cloned().collect();
    modules.sort_unstable();
    modules.retain(|one| module.is_none_or(|module| module == one));
    let view = |module: ModuleName| {
        let clients = ClientsView::of(state, &module)?;
        Some(CountView { module, clients })
    };
    modules.into_iter().filter_map(view).collect()
}

fn filter(state: &PrivateState, query: &CensusQuery) -> Result<ClientFilter, Problem> {
    let module = query.module.as_deref();
    let transport = match query.transport.as_deref() {
        None => None,
        Some("poll") => Some(Transport::Poll),
        Some("push") => Some(Transport::Push),
        Some(_) => return Err(refused("transport", "must be poll or push")),
    };
    let agent = query.agent.as_deref().map(|agent| match agent {
        agent if agent.len() > 256 => Err(refused("agent", "must not be longer than 256 bytes")),
        agent if agent.chars().any(char::is_control) => {
            Err(refused("agent", "must not contain control characters"))
        }
        agent => agent
            .parse()
            .map_err(|_empty| refused("agent", "must not be empty")),
    });
    let after = query.after.as_deref().map(|after| {
        let (module, client) = after
            .split_once('/')
            .filter(|_| !after.chars().any(char::is_control))
            .ok_or_else(|| refused("after", "must be `next` of the page before"))?;
        Ok((module.to_owned(), client.to_owned()))
    });
    Ok(ClientFilter {
        module: module
            .map(|name| known_module(&state.flags, name))
            .transpose()?,
        transport,
        agent: agent.transpose()?,
        within: within(state, query.since.as_deref())?,
        after: after.transpose()?,
        limit: query.limit.get(),
    })
}

fn within(state: &PrivateState, since: Option<&str>) -> Result<Duration, Problem> {
    let Some(since) = since else {
        return Ok(state.census.settings().window.get());
    };
    let since = Micros::parse_rfc3339(since);
    let since =
        since.ok_or_else(|| refused("since", "must be a time such as 2027-03-01T00:00:00Z"))?;
    Ok(SystemClock.now().since(since))
}

fn refused(key: &str, why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("{key}: {why}"))
}
