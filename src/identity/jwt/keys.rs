//! Keys by which tokens are verified.

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::token::Head;
use crate::config::auth::{Algorithm, SECRET_BYTES};

/// Keys that are in force together. None are in force if a set says so.
pub(super) struct Keys {
    all: Vec<Key>,
    /// How many keys of a set cannot be used.
    left_out: usize,
}

/// One key.
pub(super) struct Key {
    /// What tokens call it.
    kid: Option<String>,
    /// The one way in which it signs.
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    /// By which it is told from others.
    hash: [u8; 32],
}

/// The most keys of a set that are taken.
pub(super) const MAX_KEYS: usize = 32;

/// The most keys that are tried for a token that names none.
const MAX_TRIES: usize = 8;

/// The shortest modulus of RSA, 2,048 bits, in base64.
const MODULUS_CHARS: usize = 342;

impl Keys {
    /// A secret.
    pub(super) fn secret(secret: &str) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES {
            return Err(format!(
                "must hold at least {SECRET_BYTES} bytes (RFC 7518, section 3.2)"
            ));
        }
        let decoding = DecodingKey::from_secret(secret.as_bytes());
        let key = Key::new(None, Algorithm::Hs256, decoding, secret);
        Ok(Self::of_all(vec![key]))
    }

    /// A public key in PEM, or a JWK set.
    pub(super) fn public(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        if text.trim_ascii_start().starts_with(b"{") {
            return Self::set(text, algorithms);
        }
        let is = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
        if is(b"PRIVATE KEY") {
            return Err("holds a private key: the gateway needs the public one only".to_owned());
        }
        let read = |algorithm: &Algorithm| {
            let decoding = match algorithm {
                Algorithm::Hs256 => return None,
                Algorithm::Rs256 => DecodingKey::from_rsa_pem(text),
                Algorithm::Es256 => DecodingKey::from_ec_pem(text),
                Algorithm::EdDsa => DecodingKey::from_ed_pem(text),
            };
            Some(Key::new(
                None,
                *algorithm,
                decoding.ok()?,
                &String::from_utf8_lossy(text),
            ))
        };
        let all: Vec<_> = algorithms.iter().filter_map(read).collect();
        if all.is_empty() {
            return Err(
                "holds no public key in PEM, and no JWK set, of the configured algorithms"
                    .to_owned(),
            );
        }
        Ok(Self::of_all(all))
    }

    const fn of_all(all: Vec<Key>) -> Self {
        Self { all, left_out: 0 }
    }

    /// A JWK set (RFC 7517). Keys that are for something else are left out. A set without keys is one: it withdraws what was there.
    pub(super) fn set(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|_| "is not JSON")?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("is no JWK set")?;
        let read = |value: &Value| Key::read(value, algorithms);
        let all: Vec<_> = keys.iter().filter_map(read).take(MAX_KEYS).collect();
        let left_out = keys.len() - all.len();
        Ok(Self { all, left_out })
    }

    /// How many there are.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none that can be used.
    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether there are some, and none that can be used.
    pub(super) const fn are_for_others(&self) -> bool {
        self.all.is_empty() && self.left_out > 0
    }

    /// The keys that may have signed a token.
    pub(super) fn of<'a>(&'a self, head: &Head) -> impl Iterator<Item = &'a Key> + use<'a> {
        let (kid, algorithm) = (head.kid.clone(), head.algorithm);
        let named = move |key: &&Key| {
            let is_it = match (&kid, &key.kid) {
                (Some(kid), Some(own)) => kid == own,
                _ => true,
            };
            is_it && key.algorithm == algorithm
        };
        self.all.iter().filter(named).take(MAX_TRIES)
    }

    /// Whether the others hold all of these.
    pub(super) fn are_all_in(&self, others: &Self) -> bool {
        let mut own = self.all.iter();
        own.all(|key| others.all.iter().any(|other| other.hash == key.hash))
    }
}

impl Key {
    fn new(kid: Option<String>, algorithm: Algorithm, decoding: DecodingKey, said: &str) -> Self {
        Self {
            kid,
            algorithm,
            decoding,
            hash: Sha256::digest(format!("{algorithm:?} {said}")).into(),
        }
    }

    fn read(value: &Value, algorithms: &[Algorithm]) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let algorithm = algorithm_of(&jwk).filter(|own| algorithms.contains(own))?;
        let named = jwk.common.key_algorithm.map(|named| named.to_string());
        let common = &jwk.common;
        let is_for_signatures =
            matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let verifies = common.key_operations.as_ref();
        let verifies = verifies.is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies || named.is_some_and(|named| named != word(algorithm)) {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self::new(
            jwk.common.key_id.clone(),
            algorithm,
            decoding,
            &value.to_string(),
        ))
    }
}

/// What a public key signs with. A secret is none.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= MODULUS_CHARS => Some(Algorithm::Rs256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some(Algorithm::Es256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(Algorithm::EdDsa)
        }
        _ => None,
    }
}

const fn word(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hs256 => "HS256",
        Algorithm::Rs256 => "RS256",
        Algorithm::Es256 => "ES256",
        Algorithm::EdDsa => "EdDSA",
    }
}
