//! What a token is good for.

use std::{fmt, str::FromStr};

/// What somebody may do at the private listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Looks, and changes nothing.
    Viewer,
    /// Acts on modules, targets and the outbox, and raises and lifts panics.
    Operator,
    /// Everything: tokens and epochs too.
    Admin,
    /// Hands changes in, and sees nothing.
    Producer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Admin, Self::Producer];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Producer => "producer",
        }
    }

    /// Whether who has this one may do what the other one may.
    pub const fn includes(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => matches!(other, Self::Operator | Self::Viewer),
            Self::Viewer => matches!(other, Self::Viewer),
            Self::Producer => matches!(other, Self::Producer),
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No role has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: there are viewer, operator, admin and producer")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownRole(text.escape_debug().to_string()))
    }
}

/// Some of the roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// As they are stored, separated by commas. One that is not known here, as that of a later version, gives nothing.
    pub fn stored(text: &str) -> Self {
        text.split(',')
            .filter_map(|role| role.parse().ok())
            .collect()
    }

    /// Whether one of them includes this one.
    pub fn include(self, role: Role) -> bool {
        self.iter().any(|own| own.includes(role))
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        let own = move |role: &Role| self.0 & role.bit() != 0;
        Role::ALL.into_iter().filter(own)
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

/// As they are stored.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, role) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{role}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_may_everything_and_a_producer_hands_in_only() {
        let allowed = |role: Role| -> Vec<Role> {
            let roles = Roles::from_iter([role]);
            Role::ALL
                .into_iter()
                .filter(|other| roles.include(*other))
                .collect()
        };
        assert_eq!(allowed(Role::Admin), Role::ALL);
        assert_eq!(allowed(Role::Operator), [Role::Viewer, Role::Operator]);
        assert_eq!(allowed(Role::Viewer), [Role::Viewer]);
        assert_eq!(allowed(Role::Producer), [Role::Producer]);
    }

    #[test]
    fn what_is_stored_reads_as_it_was_and_strangers_give_nothing() {
        let both = Roles::from_iter([Role::Producer, Role::Operator]);
        assert_eq!(both.to_string(), "operator,producer");
        assert_eq!(Roles::stored("operator,producer"), both);
        assert_eq!(Roles::stored("auditor,producer").to_string(), "producer");
        assert!(Roles::stored("root").is_empty());
        assert!(Roles::stored("").is_empty());
    }
}
