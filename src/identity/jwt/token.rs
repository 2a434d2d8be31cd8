//! A token: its head, its signature, and what it says of its own life.

use std::time::Duration;

use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::Value;

use super::keys::Keys;
use crate::{
    config::auth::{Algorithm, Jwt},
    domain::Micros,
};

/// What the configuration asks of a token.
pub(super) struct Rules {
    algorithms: Vec<Algorithm>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway: Duration,
    max_age: Option<Duration>,
}

/// What a token says of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// Why a token that was signed by a key of ours is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    Expired,
    Wrong,
}

/// The longest name of a key.
const KID_BYTES: usize = 256;

impl Rules {
    pub(super) fn new(settings: &Jwt) -> Self {
        Self {
            algorithms: settings.algorithms.clone(),
            issuers: settings.issuers.clone(),
            audiences: settings.audiences.clone(),
            leeway: settings.leeway,
            max_age: settings.max_age,
        }
    }

    /// The head of a token that may be one of ours.
    pub(super) fn head(&self, token: &[u8]) -> Option<Head> {
        let head = decode_header(token).ok()?;
        let algorithm = match head.alg {
            jsonwebtoken::Algorithm::HS256 => Algorithm::Hs256,
            jsonwebtoken::Algorithm::RS256 => Algorithm::Rs256,
            jsonwebtoken::Algorithm::ES256 => Algorithm::Es256,
            jsonwebtoken::Algorithm::EdDSA => Algorithm::EdDsa,
            _ => return None,
        };
        let kid = head.kid;
        // What it calls critical, we do not understand (RFC 7515, section 4.1.11).
        let is_plain = head.crit.is_none() && kid.as_ref().is_none_or(|kid| kid.len() <= KID_BYTES);
        (is_plain && self.algorithms.contains(&algorithm)).then_some(Head { algorithm, kid })
    }

    /// Until when what a token says counts.
    pub(super) fn check(&self, said: &Value, now: Micros) -> Result<Micros, Rejected> {
        self.check_parties(said)?;
        let times = Times::read(said)?;
        let ends = match (self.max_age, times.issued) {
            (None, _) => times.expires,
            (Some(age), Some(issued)) => times.expires.min(issued.plus(age)),
            (Some(_), None) => return Err(Rejected::Wrong),
        };
        let until = ends.plus(self.leeway);
        let is_early = |time: Option<Micros>| time.is_some_and(|time| time > now.plus(self.leeway));
        if is_early(times.not_before) || is_early(times.issued) {
            return Err(Rejected::Wrong);
        }
        if until <= now {
            return Err(Rejected::Expired);
        }
        Ok(until)
    }

    fn check_parties(&self, said: &Value) -> Result<(), Rejected> {
        let text = |value: &Value, all: &[String]| {
            value
                .as_str()
                .is_some_and(|text| all.iter().any(|one| one == text))
        };
        let issued = said.get("iss").is_some_and(|by| text(by, &self.issuers));
        let meant = |whom: &Value| match whom {
            Value::Array(list) => list.iter().any(|one| text(one, &self.audiences)),
            one => text(one, &self.audiences),
        };
        let is_meant = said.get("aud").is_some_and(meant);
        let is_right =
            (issued || self.issuers.is_empty()) && (is_meant || self.audiences.is_empty());
        is_right.then_some(()).ok_or(Rejected::Wrong)
    }
}

/// What a token says, if one of the keys signed it.
pub(super) fn verify(token: &[u8], head: &Head, keys: &Keys) -> Option<Value> {
    keys.of(head).find_map(|key| {
        let said = decode::<Value>(token, &key.decoding, &only_signature(key.algorithm));
        said.ok().map(|said| said.claims).filter(Value::is_object)
    })
}

/// The times are judged by our own clock, and the parties by our own rules: the library judges the signature.
fn only_signature(algorithm: Algorithm) -> Validation {
    let mut only = Validation::new(match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    });
    only.required_spec_claims.clear();
    only.validate_exp = false;
    only.validate_nbf = false;
    only.validate_aud = false;
    only
}

/// The times of a token (RFC 7519, section 4.1).
struct Times {
    expires: Micros,
    not_before: Option<Micros>,
    issued: Option<Micros>,
}

impl Times {
    fn read(said: &Value) -> Result<Self, Rejected> {
        let read = |name: &str| match said.get(name) {
            None => Ok(None),
            Some(time) => numeric_date(time).map(Some).ok_or(Rejected::Wrong),
        };
        Ok(Self {
            expires: read("exp")?.ok_or(Rejected::Wrong)?,
            not_before: read("nbf")?,
            issued: read("iat")?,
        })
    }
}

/// Seconds since the epoch, perhaps with a fraction.
pub(in crate::identity) fn numeric_date(value: &Value) -> Option<Micros> {
    const MICROS: f64 = 1e6;
    if let Some(seconds) = value.as_i64() {
        return Some(Micros::new(seconds.saturating_mul(1_000_000)));
    }
    let seconds = value.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a number that is too large ends at the largest one"
    )]
    let micros = (seconds * MICROS) as i64;
    Some(Micros::new(micros))
}
