//! Making the state of each module whole before it is read: it lags behind if changes were
//! numbered while `modules[].state` was off.

use super::StartError;
use crate::{
    domain::{ModuleName, Position},
    log::Served,
    store::Store,
    telemetry::Purpose,
};

/// Rebuilds from the log what is not whole; a log that was pruned cannot tell all of it.
pub(super) async fn make_states_whole(
    store: &dyn Store,
    served: &Served,
) -> Result<(), StartError> {
    for module in &served.with_state {
        if store.state_is_whole(module).await? {
            continue;
        }
        if retained_from(store, module).await? > Position::ZERO.next() {
            return Err(StartError::StateLost {
                module: module.clone(),
            });
        }
        let keys = store.rebuild_state(module).await?;
        tracing::info!(%module, keys, "the state was rebuilt from the log: changes had been numbered without it");
    }
    Ok(())
}

async fn retained_from(store: &dyn Store, module: &ModuleName) -> Result<Position, StartError> {
    let heads = store.heads(Purpose::State).await?;
    let head = heads.into_iter().find(|head| head.module == *module);
    Ok(head.map_or(Position::ZERO, |head| head.retained_from))
}
