//! What is worth to be said of an act on a module that nothing forbids.

use super::{PrivateState, database_problem};
use crate::{
    cutover::{Asked, Move, Route},
    domain::{BasisPoints, Micros, ModuleName},
    http::Problem,
};

/// What the one who acts should know. To be asked before the act is done.
pub(super) async fn of(state: &PrivateState, asked: &Asked) -> Result<Vec<String>, Problem> {
    match &asked.change {
        Move::Route(route) if route.share > BasisPoints::default() => {
            of_route(state, &asked.module, route).await
        }
        _ => Ok(Vec::new()),
    }
}

/// Clients that are sent to a target which has nothing for them.
async fn of_route(
    state: &PrivateState,
    module: &ModuleName,
    route: &Route,
) -> Result<Vec<String>, Problem> {
    let target = &route.target;
    if !state.routes.targets(module).contains(target) {
        // It will be refused.
        return Ok(Vec::new());
    }
    let mut warnings = Vec::new();
    let mut feeds = state.mirror.targets().iter();
    let feed = feeds.find(|feed| feed.name() == target);
    if !feed.is_some_and(|feed| feed.connected()) {
        let trouble = feed.and_then(|feed| feed.trouble());
        let why = trouble.map_or_else(String::new, |why| format!(": {why}"));
        warnings.push(format!(
            "target {target} is not connected to this replica{why}"
        ));
    }
    if let Some(shut) = feed.and_then(|feed| feed.shut()) {
        warnings.push(format!("target {target}: {shut}"));
    }
    let cursors = state.store.target_cursors(target).await;
    let cursors = cursors.map_err(|error| database_problem(&error))?;
    let begun = |cursor: &crate::store::TargetCursor| {
        cursor.row.module == *module && cursor.retired_at == Micros::default()
    };
    if !cursors.iter().any(begun) {
        warnings.push(format!("target {target} has not been fed {module} yet"));
    }
    let status = feed.and_then(|feed| feed.module(module));
    if let Some(why) = status.as_ref().and_then(|status| status.unheard.as_ref()) {
        warnings.push(format!(
            "target {target} refuses the retained message of {module}, clients there do not hear of its flips and panics: {why}"
        ));
    }
    if let Some(why) = status.and_then(|status| status.halted) {
        warnings.push(format!("{module} has halted on target {target}: {why}"));
    }
    Ok(warnings)
}
