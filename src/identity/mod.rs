//! Who is calling, and which audiences it may read: one answer for every door.
//!
//! A door shows an [`Asking`] to [`Identity::who`] and gets a [`Who`]; what this caller may be called and may read, only the [`Who`]
//! says. `caller.rs` is what is known of a caller, `asking.rs` what a request brings along, `refused.rs` why nobody was recognized, `places.rs` where
//! credentials stand, `several.rs` a caller of several modules, `lifetime.rs` how long an answer to it may take, `counting.rs` how many
//! were refused. `operators/` is who may do what at the private listener; `passes/` is with what a client enters a broker.
//!
//! Invariants: nobody reads an audience that its [`Who`] has not granted; a caller that was recognized before costs a lookup, no lock
//! and no I/O.

mod asking;
mod caller;
mod counting;
mod lifetime;
pub mod operators;
pub mod passes;
mod places;
mod refused;
mod several;

use std::{collections::HashMap, sync::Arc};

pub use self::{
    asking::Asking,
    caller::{Caller, Claim, ClientIds, Who},
    places::{Place, Places},
    refused::Refused,
};
use crate::domain::ModuleName;

/// Which of the configured callers a door takes: a bit each, in their order. There are at most 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Accepted(u32);

impl Accepted {
    /// Every configured caller.
    pub const ALL: Self = Self(u32::MAX);

    /// The callers at these places.
    pub fn only(places: impl IntoIterator<Item = u8>) -> Self {
        Self(places.into_iter().fold(0, |all, place| all | 1 << place))
    }

    /// Whether the caller at this place in the configuration is taken.
    pub const fn takes(self, place: u8) -> bool {
        self.0 >> place & 1 == 1
    }
}

/// Who may call, as configured.
#[derive(Debug, Default)]
pub struct Identity {
    /// The names of the configured callers, in their order.
    realms: Box<[Arc<str>]>,
    by_module: HashMap<ModuleName, Accepted>,
    places: Places,
}

impl Identity {
    /// Callers of these names, in the order of the configuration, and the modules that take only some of them.
    pub fn of(
        realms: impl IntoIterator<Item = Arc<str>>,
        by_module: HashMap<ModuleName, Accepted>,
    ) -> Self {
        Self {
            realms: realms.into_iter().collect(),
            by_module,
            places: Places::default(),
        }
    }

    /// Nobody is asked: whoever says who he is, is believed.
    pub fn open() -> Self {
        Self::default()
    }

    /// Whether nobody is asked who he is.
    pub const fn is_open(&self) -> bool {
        self.realms.is_empty()
    }

    /// The place of a recognizer in the configuration, by its name.
    pub fn place(&self, realm: &str) -> Option<u8> {
        let place = self.realms.iter().position(|name| **name == *realm)?;
        u8::try_from(place).ok()
    }

    /// Where the credentials of callers stand.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// The callers that a module takes: all, unless it names some.
    pub fn accepted_by(&self, module: &ModuleName) -> Accepted {
        let named = self.by_module.get(module);
        named.copied().unwrap_or(Accepted::ALL)
    }

    /// Who asks, by the first of the accepted callers that recognizes what the request brings along.
    #[expect(
        clippy::unused_async,
        reason = "callers that ask somebody else are to come"
    )]
    pub async fn who(&self, _asking: &Asking<'_>, _accepted: Accepted) -> Result<Who, Refused> {
        Ok(Who::Open)
    }
}
