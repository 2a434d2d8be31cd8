//! Making the state of each module whole before it is read: it lags behind if changes were
//! numbered while `modules[].state` was off.

use super::StartError;
use crate::log::StateKeeper;

/// Mends from the log what is not whole; a log that was pruned cannot tell all of it.
pub(super) async fn make_states_whole(keeper: &StateKeeper) -> Result<(), StartError> {
    let lost = keeper.mend_all().await?.into_iter().next();
    lost.map_or(Ok(()), |module| Err(StartError::StateLost { module }))
}
