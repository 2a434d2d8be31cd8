//! Where the logs of all modules end, for the answers that say it.

use std::collections::HashMap;

use super::{PrivateState, database_problem};
use crate::{domain::ModuleName, http::Problem, store::Head, telemetry::Purpose};

pub(super) async fn heads_by_module(
    state: &PrivateState,
) -> Result<HashMap<ModuleName, Head>, Problem> {
    let heads = state.store.heads(Purpose::Flags).await;
    let heads = heads.map_err(|error| database_problem(&error))?;
    Ok(heads
        .into_iter()
        .map(|head| (head.module.clone(), head))
        .collect())
}
