//! How many clients a module has, beside the rest of it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{PrivateState, moment::rfc3339};
use crate::{cutover::Counted, domain::ModuleName};

/// The clients of a module that any replica has seen within `census.window`. Each counts once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clients)]
pub struct ClientsView {
    /// Those on push.
    push: u64,
    /// Those who poll.
    poll: u64,
    /// Of these, those who were on push, and poll although they are told to push.
    fell_back: u64,
    /// Since when clients are counted.
    since: String,
    /// False if the numbers are estimates: some replica sees more clients than `census.clients`, or some without an id.
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
            is_exact,
        } = count.of(module);
        Some(Self {
            push,
            poll,
            fell_back,
            since: rfc3339(count.since),
            exact: is_exact,
        })
    }
}
