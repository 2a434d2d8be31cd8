//! The audiences of one poll.

use crate::domain::Audience;

/// `*` and perhaps one more, without repeats.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Audiences {
    pair: [Audience; 2],
    own: bool,
}

impl Audiences {
    pub(super) fn everyone() -> Self {
        Self {
            pair: [Audience::everyone(), Audience::everyone()],
            own: false,
        }
    }

    /// `everyone` is `*`, handed in so that no poll has to make it.
    pub(super) fn with(everyone: Audience, own: Audience) -> Self {
        Self {
            own: !own.is_everyone(),
            pair: [everyone, own],
        }
    }

    pub(super) const fn as_slice(&self) -> &[Audience] {
        if self.own {
            &self.pair
        } else {
            std::slice::from_ref(&self.pair[0])
        }
    }

    /// The one besides `*`, as text; empty if there is none.
    pub(super) fn own(&self) -> &str {
        if self.own { self.pair[1].as_str() } else { "" }
    }

    pub(super) fn everyone_again(&self) -> Audience {
        self.pair[0].clone()
    }
}
