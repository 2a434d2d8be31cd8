//! Keys that sign.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};

use super::NOW_S;

/// A key with both halves.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    signs: EncodingKey,
    /// The public half in PEM.
    pub(super) public: String,
    pub(super) kid: Option<String>,
    /// The public half of Ed25519.
    raw: Vec<u8>,
}

pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";

static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let made = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = made.as_der().unwrap();
    der.as_ref().to_vec()
});

impl Signer {
    pub(super) fn secret(secret: &str) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            signs: EncodingKey::from_secret(secret.as_bytes()),
            public: String::new(),
            kid: None,
            raw: Vec::new(),
        }
    }

    pub(super) fn rsa() -> Self {
        let pair = rcgen::KeyPair::try_from(RSA.as_slice()).unwrap();
        Self::pair(Algorithm::RS256, &pair)
    }

    pub(super) fn ec() -> Self {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::pair(Algorithm::ES256, &pair)
    }

    pub(super) fn ed() -> Self {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self::pair(Algorithm::EdDSA, &pair)
    }

    fn pair(algorithm: Algorithm, pair: &rcgen::KeyPair) -> Self {
        let pem = pair.serialize_pem();
        let signs = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        Self {
            algorithm,
            signs: signs.unwrap(),
            public: pair.public_key_pem(),
            kid: None,
            raw: pair.public_key_raw().to_vec(),
        }
    }

    pub(super) fn named(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// A token that says this.
    pub(super) fn sign(&self, said: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.kid);
        encode(&header, said, &self.signs).unwrap()
    }

    /// A token of somebody, for an hour.
    pub(super) fn token(&self, sub: &str) -> String {
        self.sign(&json!({"sub": sub, "exp": NOW_S + 3_600}))
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            return json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&self.raw), "kid": self.kid});
        }
        let mut jwk = Jwk::from_encoding_key(&self.signs, self.algorithm).unwrap();
        jwk.common.key_id.clone_from(&self.kid);
        serde_json::to_value(jwk).unwrap()
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |three: &[u8]| {
        let bits = three
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        let digit = move |n: usize| char::from(DIGITS[bits >> (18 - 6 * n) & 63]);
        (0..=three.len()).map(digit).collect::<Vec<_>>()
    };
    bytes.chunks(3).flat_map(digits).collect()
}

/// A set of public halves.
pub(super) fn set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({"keys": keys}).to_string()
}
