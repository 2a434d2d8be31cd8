//! Who bears a token.

use super::{Role, Roles};
use crate::store::TokenRecord;

/// Who bears a token that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The token's id.
    pub id: String,
    /// Its name. Holds no white space: see [`Operator::acts_as`].
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// The only modules that it may hand changes in for; empty = all.
    modules: Vec<String>,
}

impl Operator {
    pub(super) fn of(record: &TokenRecord) -> Self {
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            roles: Roles::stored(&record.roles),
            modules: record.modules.clone(),
        }
    }

    /// Whether this may be done.
    pub fn may(&self, role: Role) -> bool {
        self.roles.include(role)
    }

    /// Whether changes of this module may be handed in.
    pub fn may_produce(&self, module: &str) -> bool {
        let named = self.modules.is_empty() || self.modules.iter().any(|own| own == module);
        named && self.may(Role::Producer)
    }

    /// Who acts, as the audit has it: the token's name, which is known, and beside it whom its bearer says that it acts for, which is only
    /// believed. The first word is always the name.
    pub fn acts_as(&self, said: Option<&str>) -> String {
        match said.map(str::trim) {
            None | Some("" | "unknown") => self.name.clone(),
            Some(said) if said == self.name => self.name.clone(),
            Some(said) => format!("{} (for {said})", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Micros;

    fn bearer(roles: &str, modules: &[&str]) -> Operator {
        Operator::of(&TokenRecord {
            id: "1".to_owned(),
            name: "deploy-bot".to_owned(),
            roles: roles.to_owned(),
            modules: modules.iter().map(ToString::to_string).collect(),
            hash: Vec::new(),
            created_by: String::new(),
            created_at: Micros::new(0),
            expires_at: None,
            revoked_at: None,
        })
    }

    #[test]
    fn a_producer_keeps_to_its_modules() {
        assert!(bearer("producer", &[]).may_produce("orders"));
        assert!(bearer("admin", &[]).may_produce("orders"));
        let limited = bearer("producer", &["orders"]);
        assert!(limited.may_produce("orders") && !limited.may_produce("orders2"));
        assert!(!bearer("operator", &[]).may_produce("orders"));
        assert!(!bearer("operator", &["orders"]).may_produce("orders"));
    }

    #[test]
    fn what_is_only_said_stands_behind_what_is_known() {
        let bot = bearer("operator", &[]);
        assert_eq!(bot.acts_as(Some("alice")), "deploy-bot (for alice)");
        assert_eq!(
            bot.acts_as(Some("admin (for x)")),
            "deploy-bot (for admin (for x))"
        );
        for nothing in [
            None,
            Some(""),
            Some(" "),
            Some("unknown"),
            Some("deploy-bot"),
        ] {
            assert_eq!(bot.acts_as(nothing), "deploy-bot");
        }
    }
}
