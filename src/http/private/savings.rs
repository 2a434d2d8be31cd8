//! `GET /admin/v1/savings`: what each module cost before its clients moved, and costs now.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{PrivateState, database_problem, known_module, query::QueryOf};
use crate::{
    config::savings,
    domain::{Clock, Micros, ModuleName, Stage, SystemClock},
    http::Problem,
    store,
    telemetry::savings::{Counted, Reckoning, Savings},
};

/// What is configured of it.
#[derive(Debug, Default)]
pub struct Worth {
    /// Prices and assumptions.
    pub settings: savings::Savings,
    /// What is known of each module.
    pub modules: BTreeMap<ModuleName, savings::ModuleSavings>,
}

/// Which modules, over how long.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SavingsQuery {
    /// One module; absent = all of them.
    module: Option<String>,
    /// Over how many days `now` is taken, and nobody must have asked for a module that counts as unused: 1 to 366.
    #[serde(default = "week")]
    #[param(required = false, default = 7, minimum = 1, maximum = 366)]
    days: u32,
}

const fn week() -> u32 {
    7
}

const MOST_DAYS: u32 = 366;

/// What modules cost while all their clients polled, what they cost now, and what could be smaller.
///
/// It is made from what all replicas have written, which is `savings.flush` old at most, up to the end of that time.
#[utoipa::path(
    get, path = "/admin/v1/savings", operation_id = "getSavings", tag = "Operations",
    params(SavingsQuery),
    responses(
        (status = 200, description = "the figures, and what they assume", body = Savings),
        (status = 400, description = "the query is not as it should be"),
        (status = 404, description = "no such module"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn show(
    State(state): State<PrivateState>,
    query: Result<QueryOf<SavingsQuery>, Problem>,
) -> Result<Json<Savings>, Problem> {
    let QueryOf(query) = query?;
    if !(1..=MOST_DAYS).contains(&query.days) {
        return Err(Problem::new(
            axum::http::StatusCode::BAD_REQUEST,
            format!("days: must be from 1 to {MOST_DAYS}"),
        ));
    }
    let only = query.module.as_deref();
    let only = only
        .map(|name| known_module(&state.flags, name))
        .transpose()?;
    let counted = counted(&state, query.days, SystemClock.now()).await;
    let reckoning = Reckoning {
        settings: &state.worth.settings,
        days: query.days,
        modules: modules(&state, only.as_ref()),
        counted: counted.map_err(|error| database_problem(&error))?,
    };
    Ok(Json(reckoning.savings()))
}

async fn counted(state: &PrivateState, days: u32, now: Micros) -> store::Result<Counted> {
    let since = now.minus(Duration::from_hours(24 * u64::from(days)));
    let store = &state.store;
    let busiest = store.busiest_hours(since).await?;
    Ok(Counted {
        recently: store.usage(since, Stage::Retired).await?,
        while_polled: store.usage(Micros::default(), Stage::Mirror).await?,
        ever: store.usage(Micros::default(), Stage::Retired).await?,
        busiest: (busiest.requests, busiest.statements),
    })
}

fn modules(
    state: &PrivateState,
    only: Option<&ModuleName>,
) -> Vec<(ModuleName, Stage, savings::ModuleSavings)> {
    let wanted = |module: &&ModuleName| only.is_none_or(|only| only == *module);
    let mut names: Vec<_> = state.tail.modules().filter(wanted).cloned().collect();
    names.sort_unstable();
    let of = |module: ModuleName| {
        let record = state.flags.record(&module)?;
        let known = state.worth.modules.get(&module).cloned();
        Some((module, record.stage, known.unwrap_or_default()))
    };
    names.into_iter().filter_map(of).collect()
}
