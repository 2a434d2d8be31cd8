//! The channels of one caller.

use crate::domain::{Audience, ModuleName};

/// The channels of one module that a caller reads: everyone's, and perhaps its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    module: ModuleName,
    audiences: Box<[Audience]>,
}

impl Channels {
    /// `*` is always among them.
    pub fn new(module: ModuleName, own: Option<Audience>) -> Self {
        let own = own.filter(|audience| !audience.is_everyone());
        Self {
            module,
            audiences: std::iter::once(Audience::everyone()).chain(own).collect(),
        }
    }

    /// The module.
    pub const fn module(&self) -> &ModuleName {
        &self.module
    }

    /// The audiences, without repeats.
    pub const fn audiences(&self) -> &[Audience] {
        &self.audiences
    }

    /// The audience besides `*`.
    pub fn own(&self) -> Option<&Audience> {
        self.audiences.get(1)
    }
}
