//! Tokens of operators and producers, as they are stored.
//!
//! Invariants: of a token's text only its hash is known here, and no audit entry holds even that. A row stays when its token is revoked, so
//! that an id that was taken back is never given again.

use std::fmt;

use async_trait::async_trait;

use super::Result;
use crate::domain::Micros;

/// A row of `auth_token`.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
pub struct TokenRecord {
    /// Which: the part of the text that is no secret.
    pub id: String,
    /// Whose, in the words of who made it.
    pub name: String,
    /// What it is good for, separated by commas.
    pub roles: String,
    /// The only modules that a producer may hand changes in for; empty = all.
    pub modules: Vec<String>,
    /// SHA-256 of the text.
    #[serde(skip)]
    pub hash: Vec<u8>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Micros,
    /// Until when it is good; absent = until it is revoked.
    pub expires_at: Option<Micros>,
    /// When it was taken back.
    pub revoked_at: Option<Micros>,
}

impl TokenRecord {
    /// Whether it is neither revoked nor expired.
    pub fn is_in_force(&self, now: Micros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Without the hash.
impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("modules", &self.modules)
            .field("created_by", &self.created_by)
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// A token that is made, or was provisioned. Its id, hash and roles are those of [`TokenRecord`].
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What is written, except the time, which is the database's.
    pub record: TokenRecord,
    /// Who does it, for the audit.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What became of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolled {
    /// It is stored now.
    New(TokenRecord),
    /// There was one of its id: this one. Nothing was written.
    Known(TokenRecord),
}

/// A token that is taken back.
#[derive(Debug, Clone)]
pub struct TokenRevoked {
    /// Its id.
    pub id: String,
    /// Who does it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// The words in the audit.
pub(super) const CREATED: &str = "token-create";
pub(super) const REVOKED: &str = "token-revoke";

/// Tokens and their audit.
#[async_trait]
pub trait Tokens {
    /// The tokens that are neither revoked nor expired by the database's clock, the oldest first.
    async fn tokens_in_force(&self, limit: u32) -> Result<Vec<TokenRecord>>;

    /// All tokens, the newest first.
    async fn tokens(&self, limit: u32) -> Result<Vec<TokenRecord>>;

    /// One token.
    async fn token(&self, id: &str) -> Result<Option<TokenRecord>>;

    /// Stores a token with its audit entry in one transaction, by the database's clock, unless its id is known.
    async fn enrol_token(&self, new: &NewToken) -> Result<Enrolled>;

    /// Takes a token back, with its audit entry in one transaction, by the database's clock. `None` if there is no such token; one that was
    /// revoked before stays as it is.
    async fn revoke_token(&self, revoked: &TokenRevoked) -> Result<Option<TokenRecord>>;
}
