//! Making tokens and revoking them.
//!
//! Invariant: what is answered as revoked is refused here from then on, and everywhere within a second.

use std::time::Duration;

use super::{Operators, Role, Roles, TokenText};
use crate::store::{self, Enrolled, NewToken, TokenRecord, TokenRevoked};

/// Longest name.
const NAME_CHARS: usize = 64;

/// Most tokens that are listed.
const LISTED: u32 = 1_000;

/// A token as it is asked for.
#[derive(Debug, Clone)]
pub struct TokenAsked {
    /// Whose it will be.
    pub name: String,
    /// What it is to be good for.
    pub roles: Roles,
    /// The only modules that a producer may hand changes in for; empty = all.
    pub modules: Vec<String>,
    /// For how long; absent = until it is revoked.
    pub life: Option<Duration>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// A token that was made, or would be.
#[derive(Debug, Clone)]
pub struct Made {
    /// What is stored of it.
    pub record: TokenRecord,
    /// Its text, which nobody will see again; absent = it was only tried.
    pub text: Option<TokenText>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// The name cannot stand in the audit as the first word.
    #[error("name: must be 1 to {NAME_CHARS} characters of A-Z, a-z, 0-9, `.`, `_`, `@` and `-`")]
    Name,
    /// It would be good for nothing.
    #[error("roles: name at least one of viewer, operator, admin and producer")]
    NoRole,
    /// The other roles are about all modules.
    #[error("modules: only a token whose one role is producer is limited to modules")]
    Modules,
    /// There are enough.
    #[error("{0} tokens are in force, and auth.max_tokens allows no more: revoke some first")]
    TooMany(u32),
    /// No token has this id.
    #[error("there is no token of this id")]
    NoSuchToken,
    /// Nobody could make another one afterwards.
    #[error("this is the last token in force with the role admin: make another one first")]
    LastAdmin,
    /// The database failed.
    #[error("the token could not be written")]
    Store(#[source] store::Error),
}

impl Operators {
    /// All tokens, the newest first.
    pub async fn list(&self) -> store::Result<Vec<TokenRecord>> {
        self.store.tokens(LISTED).await
    }

    /// Whether it is good now.
    pub fn is_in_force(&self, record: &TokenRecord) -> bool {
        record.is_in_force(self.clock.now())
    }

    /// Makes a token.
    pub async fn create(&self, asked: TokenAsked) -> Result<Made, TokenRefused> {
        check(&asked)?;
        let text = TokenText::new(&(self.randomness)());
        let now = self.clock.now();
        let new = NewToken {
            record: TokenRecord {
                id: text.id().to_owned(),
                name: asked.name,
                roles: asked.roles.to_string(),
                modules: asked.modules,
                hash: text.hash().to_vec(),
                created_by: asked.actor.clone(),
                created_at: now,
                expires_at: asked.life.map(|life| now.plus(life)),
                revoked_at: None,
            },
            actor: asked.actor,
            reason: asked.reason,
        };
        let _turn = self.turn.lock().await;
        if self.count() >= self.most as usize {
            return Err(TokenRefused::TooMany(self.most));
        }
        if asked.dry_run {
            let (record, text) = (new.record, None);
            return Ok(Made { record, text });
        }
        let Enrolled::New(record) = self.write(&new).await.map_err(TokenRefused::Store)? else {
            // 64 random bits that somebody had before.
            return Err(TokenRefused::Store(store::Error::Refused {
                why: "a token of this id is there already: try again".to_owned(),
            }));
        };
        tracing::info!(
            token = record.id,
            name = record.name,
            roles = record.roles,
            actor = new.actor,
            "a token was made"
        );
        let text = Some(text);
        Ok(Made { record, text })
    }

    /// Takes a token back. One that was taken back before stays as it is.
    pub async fn revoke(
        &self,
        revoked: TokenRevoked,
        dry_run: bool,
    ) -> Result<TokenRecord, TokenRefused> {
        let _turn = self.turn.lock().await;
        let known = self.store.token(&revoked.id).await;
        let known = known.map_err(TokenRefused::Store)?;
        let before = known.ok_or(TokenRefused::NoSuchToken)?;
        let is_admin = Roles::stored(&before.roles).include(Role::Admin);
        if is_admin && self.is_in_force(&before) && !self.has_admin_beside(&before.id) {
            return Err(TokenRefused::LastAdmin);
        }
        if dry_run {
            return Ok(before);
        }
        let after = self.store.revoke_token(&revoked).await;
        let after = after.map_err(TokenRefused::Store)?;
        let after = after.ok_or(TokenRefused::NoSuchToken)?;
        self.adopt(&after);
        tracing::warn!(
            token = after.id,
            name = after.name,
            actor = revoked.actor,
            "a token was revoked"
        );
        Ok(after)
    }

    /// Writes a token, and knows it from then on. To be called in turn.
    pub(super) async fn write(&self, new: &NewToken) -> store::Result<Enrolled> {
        let enrolled = self.store.enrol_token(new).await?;
        if let Enrolled::New(record) = &enrolled {
            self.adopt(record);
        }
        Ok(enrolled)
    }
}

fn check(asked: &TokenAsked) -> Result<(), TokenRefused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    let name = &asked.name;
    if name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(plain) {
        return Err(TokenRefused::Name);
    }
    if asked.roles.is_empty() {
        return Err(TokenRefused::NoRole);
    }
    let is_producer = asked.roles.iter().eq([Role::Producer]);
    if !asked.modules.is_empty() && !is_producer {
        return Err(TokenRefused::Modules);
    }
    Ok(())
}
