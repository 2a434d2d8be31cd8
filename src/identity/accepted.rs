//! Which of the configured callers a door takes.

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
