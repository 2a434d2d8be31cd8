//! The channels of one caller.

use crate::domain::{Audience, ModuleName};

/// The channels of one module that a caller reads: everyone's, and perhaps its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    module: ModuleName,
    audiences: Box<[Audience]>,
    /// The audience that the request named, which is the only one besides `*` then.
    is_named: bool,
}

impl Channels {
    /// Everyone's and the one of this audience. `*` is always among them.
    pub fn new(module: ModuleName, own: Option<Audience>) -> Self {
        let own = own.filter(|audience| !audience.is_everyone());
        let is_named = own.is_some();
        Self {
            is_named,
            ..Self::of(module, own.as_slice())
        }
    }

    /// Everyone's and all that a caller has, without repeats.
    pub fn of(module: ModuleName, own: &[Audience]) -> Self {
        let own = own.iter().filter(|audience| !audience.is_everyone());
        let everyone = Audience::everyone();
        Self {
            module,
            audiences: std::iter::once(everyone).chain(own.cloned()).collect(),
            is_named: false,
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

    /// The audience besides `*` that the request named.
    pub fn named(&self) -> Option<&Audience> {
        self.audiences.get(1).filter(|_| self.is_named)
    }
}
