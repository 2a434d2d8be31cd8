//! How many clients a module has, beside the rest of it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{PrivateState, moment::rfc3339};
use crate::{cutover::Counted, domain::ModuleName};

/// The clients of a module that any replica has seen within `census.window`. Each that has an id counts once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clients)]
pub struct ClientsView {
    /// Those on push.
    push: u64,
    /// Those who poll.
    poll: u64,
    /// Of these, those who were on push, and poll although they are told to push.
    fell_back: u64,
    /// About how many have no id, told apart by address and program. They are none of the above.
    without_id: u64,
    /// Since when clients are known without a gap; not before the beginning of `census.window`.
    #[schema(format = DateTime)]
    since: String,
    /// False if the numbers are estimates: some replica sees more clients than `census.clients`.
    exact: bool,
}

impl ClientsView {
    /// As last counted; `None` before the first count, or without a census.
    pub(super) fn of(state: &PrivateState, module: &ModuleName) -> Option<Self> {
        let count = state.census.counts().last()?;
        let Counted {
            push,
            poll,
            fell_back,
            without_id,
            is_exact,
            since,
        } = count.of(module);
        Some(Self {
            push,
            poll,
            fell_back,
            without_id,
            since: rfc3339(since),
            exact: is_exact,
        })
    }
}
