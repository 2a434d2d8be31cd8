//! What recognizing callers by tokens must hold whatever is sent: for `fuzz/`, and for the tests that replay its corpus.
//!
//! Invariant: nobody is recognized by what we have not signed, and whoever is has the names and audiences that his token says and no others.

use std::{
    collections::BTreeSet,
    slice,
    sync::{Arc, LazyLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use serde_json::Value;

use super::{Accepted, Asking, Caller, Identity, Who, jwt};
use crate::{
    config::Config,
    domain::{Audience, Clock, Micros, strangers::Pieces},
};

/// The secret of the configuration below.
static KEY: LazyLock<EncodingKey> =
    LazyLock::new(|| EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef"));

/// The most audiences of a caller, as configured unless it is said.
const MOST_AUDIENCES: usize = 8;

const CALLERS: &str = r#"
    [auth]
    wrong_tries = 1000
    [[auth.callers]]
    kind = "jwt"
    algorithm = "HS256"
    secret = "0123456789abcdef0123456789abcdef"
    leeway_s = 0
    client = "{org}:{sub}"
    audiences = ["account:{sub}", "{groups}", "{/realm/roles}"]
    agent = "{app}"
"#;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let config: Config = toml::from_str(CALLERS).expect("it is a configuration");
    let made = Identity::new(&config, Arc::new(Still), [5; 16]);
    made.expect("it names no file")
});

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Micros {
        // 2026-01-01.
        Micros::new(1_767_225_600_000_000)
    }
}

/// Tokens: bytes that are none, heads and claims of others, claims and heads that we have signed, what was signed with public keys; and keys.
pub fn token(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    match pieces.choice(6) {
        0 => {
            let bytes = pieces.bytes().unwrap_or_default();
            assert_eq!(who(bytes), None, "nobody has signed it");
        }
        1 => signed(&mut pieces),
        2 => {
            let part = |bytes: Option<&[u8]>| URL_SAFE_NO_PAD.encode(bytes.unwrap_or_default());
            let [head, claims, proof] = [pieces.bytes(), pieces.bytes(), pieces.bytes()].map(part);
            let forged = format!("{head}.{claims}.{proof}");
            assert_eq!(who(forged.as_bytes()), None, "nobody has signed it");
        }
        3 => jwt::strangers::holds_as_keys(pieces.bytes().unwrap_or_default()),
        4 => headed(&mut pieces),
        _ => jwt::strangers::holds_as_published(&mut pieces),
    }
}

/// Claims that we have signed, and the same token with another byte.
fn signed(pieces: &mut Pieces<'_>) {
    let (at, to) = (pieces.choice(256), pieces.choice(256));
    let Ok(said) = serde_json::from_str::<Value>(pieces.text()) else {
        return;
    };
    let Ok(token) = encode(&Header::default(), &said, &KEY) else {
        return;
    };
    if let Some(caller) = who(token.as_bytes()) {
        is_as_said(&caller, &said);
    }
    let mut other = token.into_bytes();
    let at = at % other.len();
    let to = u8::try_from(to).expect("it is a byte");
    if other[at] != to && to.is_ascii_graphic() {
        other[at] = to;
        assert_eq!(who(&other), None, "another byte is another token");
    }
}

/// Any head and any claims over which our secret was used, as HS256 does: the head has no say in it.
fn headed(pieces: &mut Pieces<'_>) {
    let [head, claims] = [pieces.bytes(), pieces.bytes()].map(Option::unwrap_or_default);
    let [one, two] = [head, claims].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let signed = format!("{one}.{two}");
    let proof = crypto::sign(signed.as_bytes(), &KEY, Algorithm::HS256).expect("an HMAC");
    let Some(caller) = who(format!("{signed}.{proof}").as_bytes()) else {
        return;
    };
    let head: Value = serde_json::from_slice(head).expect("a head is JSON");
    assert_eq!(head["alg"], "HS256", "it is not signed otherwise");
    assert_eq!(head["crit"], Value::Null, "we understand nothing of it");
    let said = serde_json::from_slice(claims).expect("claims are JSON");
    is_as_said(&caller, &said);
}

fn is_as_said(caller: &Caller, said: &Value) {
    let (org, sub) = (text(&said["org"]), text(&said["sub"]));
    let read = caller.id.split_once(':');
    assert_eq!(read, Some((&*org, &*sub)), "its name is read in one way");
    assert!(!caller.id.chars().any(char::is_control) && caller.id.len() <= 128);
    let agent = caller.agent.as_deref();
    assert!(agent.is_none_or(|agent| agent == text(&said["app"])));
    lives_as_said(caller, said);
    let lists = [&said["groups"], &said["realm"]["roles"]];
    let items = lists.into_iter().flat_map(|list| match list {
        Value::Null => &[][..],
        Value::Array(items) => items.as_slice(),
        one => slice::from_ref(one),
    });
    let own = format!("account:{sub}");
    let mut all: BTreeSet<_> = items.map(text).chain([own]).collect();
    all.remove(Audience::EVERYONE);
    let granted = caller.audiences.iter().map(Audience::as_str);
    assert!(granted.eq(all.iter()), "{all:?}, each once and no other");
    assert!(caller.audiences.len() <= MOST_AUDIENCES);
}

/// It begins no sooner and ends no later than its token says.
fn lives_as_said(caller: &Caller, said: &Value) {
    let whole = |name: &str| {
        let seconds = said[name].as_i64();
        seconds.map(|seconds| Micros::new(seconds.saturating_mul(1_000_000)))
    };
    assert!(caller.expires_at > Some(Still.now()), "it is not over");
    assert!(whole("exp").is_none_or(|exp| caller.expires_at == Some(exp)));
    let mut begins = ["nbf", "iat"].into_iter().filter_map(whole);
    assert!(begins.all(|time| time <= Still.now()), "it has begun");
}

/// A text, or a number as it is written.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Who is recognized by a token.
fn who(token: &[u8]) -> Option<Arc<Caller>> {
    let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let address = [192, 0, 2, 1].into();
    let asking = Asking {
        headers: &headers,
        query: None,
        peer: address,
        address,
    };
    let asked = IDENTITY.who(&asking, Accepted::ALL).now_or_never();
    match asked.expect("nobody else is asked") {
        Ok(Who::Known(caller)) => Some(caller),
        Ok(Who::Open) => panic!("nobody is open here"),
        Err(_) => None,
    }
}
