//! The tokens that are in force, in memory.
//!
//! Invariants: a lookup takes no lock and no I/O; reading and writing the table take turns, so that no late read brings back what was revoked
//! meanwhile.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use tokio::{sync::Mutex, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Operator, Randomness, Role, TokenText};
use crate::{
    config::auth::Auth,
    domain::{Clock, Micros},
    identity::{fingerprint::Salt, wrong::WrongSenders},
    store::{self, Store, TokenRecord},
};

/// How often is read: what was revoked elsewhere is refused here within a second.
const TICK: Duration = Duration::from_millis(400);

/// How many are read beyond the most that are made: those in files come in however many there are, so that a full table locks nobody out.
const PROVISIONED: u32 = 100;

/// Why nobody is known by what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    /// It looks like no token.
    #[error("what was sent is no token of changeover, or a character of it is wrong or missing")]
    Malformed,
    /// There is no such token, or no more.
    #[error("the token is unknown here: it was revoked, or has expired, or is of another gateway")]
    Unknown,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// Many wrong ones came from there. A right one goes on.
    #[error("too many wrong tokens came from this address: come again later")]
    TooMany {
        /// When.
        retry_after_s: u32,
    },
}

struct Held {
    hash: Vec<u8>,
    expires_at: Option<Micros>,
    operator: Arc<Operator>,
}

impl Held {
    fn of(record: &TokenRecord) -> Self {
        Self {
            hash: record.hash.clone(),
            expires_at: record.expires_at,
            operator: Arc::new(Operator::of(record)),
        }
    }
}

type ById = HashMap<String, Arc<Held>>;

/// Who may do what at the private listener.
pub struct Operators {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: fn() -> Randomness,
    /// Most tokens in force.
    pub(super) most: u32,
    /// One read or write of the table at a time.
    pub(super) turn: Mutex<()>,
    held: ArcSwap<ById>,
    wrong: WrongSenders,
    salt: Salt,
}

impl Operators {
    /// Nobody, until the table is read.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        randomness: fn() -> Randomness,
        auth: &Auth,
    ) -> Self {
        let mut salt = [0; 16];
        salt.copy_from_slice(&randomness()[..16]);
        Self {
            store,
            clock,
            randomness,
            most: auth.max_tokens,
            turn: Mutex::default(),
            held: ArcSwap::default(),
            wrong: WrongSenders::new(auth),
            salt: Salt(salt),
        }
    }

    /// Who shows this from there. A right token is known however many wrong ones came from the same address.
    pub fn who_from(&self, from: IpAddr, shown: &str) -> Result<Arc<Operator>, NotKnown> {
        self.who(shown).map_err(|unknown| match unknown {
            NotKnown::Malformed | NotKnown::Unknown => self.wrong_from(from, shown, unknown),
            // Somebody whom we knew.
            other => other,
        })
    }

    /// What is told to who sends what is wrong, and that he waits if it is one too many.
    pub(super) fn wrong_from(&self, from: IpAddr, shown: &str, unknown: NotKnown) -> NotKnown {
        let wrong = self.salt.of(0, shown.as_bytes());
        let waits = self.wrong.note(from, &wrong, self.clock.now());
        waits.map_or(unknown, |retry_after_s| NotKnown::TooMany { retry_after_s })
    }

    /// The bearer of a token by its id, and when it ends.
    pub(super) fn known(&self, id: &str) -> Result<(Arc<Operator>, Option<Micros>), NotKnown> {
        let all = self.held.load();
        let held = all.get(id).ok_or(NotKnown::Unknown)?;
        if held.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(NotKnown::Expired);
        }
        Ok((Arc::clone(&held.operator), held.expires_at))
    }

    /// Who shows this.
    pub fn who(&self, shown: &str) -> Result<Arc<Operator>, NotKnown> {
        let text = TokenText::parse(shown).map_err(|_malformed| NotKnown::Malformed)?;
        let all = self.held.load();
        let held = all.get(text.id()).ok_or(NotKnown::Unknown)?;
        if !bool::from(text.hash().ct_eq(&held.hash)) {
            return Err(NotKnown::Unknown);
        }
        if held.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(NotKnown::Expired);
        }
        Ok(Arc::clone(&held.operator))
    }

    /// Reads the table once.
    pub async fn refresh(&self) -> store::Result<()> {
        let _turn = self.turn.lock().await;
        let most = self.most.saturating_add(PROVISIONED);
        let records = self.store.tokens_in_force(most).await?;
        let held = |record: &TokenRecord| (record.id.clone(), Arc::new(Held::of(record)));
        self.held
            .store(Arc::new(records.iter().map(held).collect()));
        Ok(())
    }

    /// Reads until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut failing, mut told_of) = (false, None);
        while !stop.is_cancelled() {
            let read = self.refresh().await;
            match &read {
                Err(error) if !failing => {
                    tracing::warn!(%error, "tokens cannot be read, those that are known stay good");
                }
                Ok(()) if failing => tracing::info!("tokens are read again"),
                _ => {}
            }
            failing = read.is_err();
            let ends = self.admins_end();
            if let Some(end) = ends.filter(|_| ends != told_of) {
                let end = humantime::format_rfc3339_seconds(end.into());
                tracing::warn!(%end, "each token with the role admin expires, and nobody can make another one afterwards: make one now, with `changeover token create \
                    --role admin`");
            }
            told_of = ends;
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    /// Takes over what was written. To be called in turn.
    pub(super) fn adopt(&self, record: &TokenRecord) {
        let mut all = ById::clone(&self.held.load());
        if record.revoked_at.is_none() {
            all.insert(record.id.clone(), Arc::new(Held::of(record)));
        } else {
            all.remove(&record.id);
        }
        self.held.store(Arc::new(all));
    }

    /// How many are known.
    pub(super) fn count(&self) -> usize {
        self.held.load().len()
    }

    /// When the last token with the role admin expires; none if one of them does not, or there is none.
    fn admins_end(&self) -> Option<Micros> {
        let now = self.clock.now();
        let all = self.held.load();
        let admins = all.values().filter(|held| {
            let in_force = held.expires_at.is_none_or(|end| now < end);
            in_force && held.operator.may(Role::Admin)
        });
        let ends: Option<Vec<_>> = admins.map(|held| held.expires_at).collect();
        ends?.into_iter().max()
    }

    /// Whether somebody beside the bearer of this token may make others.
    pub(super) fn has_admin_beside(&self, id: &str) -> bool {
        let now = self.clock.now();
        let is_one = |held: &Arc<Held>| {
            let in_force = held.expires_at.is_none_or(|end| now < end);
            in_force && held.operator.id != id && held.operator.may(Role::Admin)
        };
        self.held.load().values().any(is_one)
    }
}
