//! What keys must hold, and what they are tried with.
//!
//! Invariants: whatever is taken for keys is a bounded number of them, and none is a secret; who knows what is public signs nothing with it,
//! whatever his token's head says.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm as Named, EncodingKey, crypto};

use super::{
    keys::{Keys, MAX_KEYS},
    token::{self, Head, Rules},
};
use crate::{
    config::auth::{Algorithm, CredentialPlace, Jwt, KeySource},
    domain::strangers::Pieces,
};

/// More than a configuration allows for one caller, so that nothing but the keys themselves stands between.
const ALL: [Algorithm; 4] = [
    Algorithm::Hs256,
    Algorithm::Rs256,
    Algorithm::Es256,
    Algorithm::EdDsa,
];

/// Public keys whose other halves were thrown away: nobody can sign by them.
const PUBLIC: [&str; 3] = [
    "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAz8EfyHqHIuJapoa55pRo
srjf1EhZYS3xqxG2a1+fc4P28W2f+/TX31kOqf0f8DPWKD1NTDY5cIt5WD//se/r
jTQLDlKIy4BSkhNZbzVac8SVMbLXI3oqKG745JOQ320NB2GWjsbCpVPXwXXkKo89
JvqO2o3+U1yFTLczrrbuLmtijM6qzi0gU/xxrYfxGi8WTA8Duq9qbS5oApVu4zR9
5MHRf0oZYZfxqWjAmvthvkPIIs3nOIbrR5UARUz2EnpDxNDJlsMvKfUkdgkxWAcs
WkEU7P2/omci7ngepnKxKm6872APRyLt9UmXh4CdIi/JQ1UWR0MBylomDGZ/4f+m
aQIDAQAB
-----END PUBLIC KEY-----
",
    "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwJVlojCH3NAzzq6e+z/sAdg5QQ7h
XGfUnZobem9e1wUovV41BgpMly1+sn3yqUzpeRhMDJ85XY17jT82pWxmIA==
-----END PUBLIC KEY-----
",
    "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAr2032JONmSRwPhS2hzs1TE9K0EJH6phUjwvOBkcxKE0=
-----END PUBLIC KEY-----
",
];

/// Where the modulus, the point and the key begin in these, and how long they are: what a JWK says of them.
const WITHIN: [(usize, usize); 3] = [(33, 256), (27, 64), (12, 32)];

/// The keys as their owner publishes them, and as everybody reads them.
struct Published {
    rules: Rules,
    keys: Vec<Keys>,
    /// What somebody who knows no secret has to sign with.
    read: Vec<EncodingKey>,
}

static PUBLISHED: LazyLock<Published> = LazyLock::new(|| {
    let der = PUBLIC.map(|pem| {
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(lines).expect("PEM is base64")
    });
    let bare = [0, 1, 2].map(|n| {
        let (at, bytes) = WITHIN[n];
        der[n][at..at + bytes].to_vec()
    });
    let set = jwk_set(&bare);
    let mut keys: Vec<_> = PUBLIC
        .iter()
        .map(|pem| Keys::public(pem.as_bytes(), &ALL).expect("a public key"))
        .collect();
    keys.push(Keys::set(set.as_bytes(), &ALL).expect("a set"));
    assert_eq!(keys[3].len(), 3, "each is taken");
    let pem = PUBLIC.map(|pem| pem.as_bytes().to_vec());
    let trimmed = PUBLIC.map(|pem| pem.trim_end().as_bytes().to_vec());
    let spelled = bare.clone().map(|key| URL_SAFE_NO_PAD.encode(key).into());
    let secrets = [pem, trimmed, der, bare, spelled].concat();
    let secrets = secrets.into_iter().chain([set.into(), Vec::new()]);
    Published {
        rules: rules(),
        keys,
        read: secrets
            .map(|secret| EncodingKey::from_secret(&secret))
            .collect(),
    }
});

fn rules() -> Rules {
    Rules::new(&Jwt {
        credential: CredentialPlace::bearer(),
        algorithms: ALL.to_vec(),
        keys: KeySource::File(PathBuf::new()),
        issuers: Vec::new(),
        audiences: Vec::new(),
        keys_stale_for: Duration::ZERO,
        leeway: Duration::ZERO,
        max_age: None,
    })
}

fn jwk_set([rsa, point, ed]: &[Vec<u8>; 3]) -> String {
    let [n, x, y, own] =
        [&rsa[..], &point[..32], &point[32..], &ed[..]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    format!(
        r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"AQAB"}},{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}},
            {{"kty":"OKP","crv":"Ed25519","x":"{own}"}}]}}"#
    )
}

/// A token that was signed with what is public: with a key as if it were a secret, or with any bytes.
pub(in crate::identity) fn holds_as_published(pieces: &mut Pieces<'_>) {
    let published = &*PUBLISHED;
    let chosen = pieces.choice(published.read.len() + 1);
    let part = |bytes: Option<&[u8]>| URL_SAFE_NO_PAD.encode(bytes.unwrap_or_default());
    let [head, claims] = [pieces.bytes(), pieces.bytes()].map(part);
    let signed = format!("{head}.{claims}");
    let proof = match published.read.get(chosen) {
        Some(secret) => crypto::sign(signed.as_bytes(), secret, Named::HS256).expect("an HMAC"),
        None => part(pieces.bytes()),
    };
    let token = format!("{signed}.{proof}").into_bytes();
    // What its head says, and whatever else somebody could take it for.
    let said = published.rules.head(&token);
    let whatever = ALL.map(|algorithm| Head {
        algorithm,
        kid: None,
    });
    for head in said.iter().chain(&whatever) {
        let mut keys = published.keys.iter();
        let is_by = keys.any(|keys| token::verify(&token, head, keys).is_some());
        assert!(!is_by, "nobody can have signed it");
    }
}

/// Whatever is taken for keys.
pub(in crate::identity) fn holds_as_keys(text: &[u8]) {
    let set = Keys::set(text, &ALL).ok();
    let public = Keys::public(text, &ALL).ok();
    for keys in [set, public].iter().flatten() {
        assert!(keys.len() <= MAX_KEYS && keys.are_all_in(keys));
        let secret = Head {
            algorithm: Algorithm::Hs256,
            kid: None,
        };
        assert!(
            keys.of(&secret).next().is_none(),
            "what is public is no secret"
        );
    }
}
