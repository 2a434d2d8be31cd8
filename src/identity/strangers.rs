//! What recognizing callers by tokens must hold whatever is sent: for `fuzz/`, and for the tests that replay its corpus.
//!
//! Invariant: nobody is recognized by what we have not signed, and whoever is has the names and audiences that his token says and no others.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::Value;

use super::{Accepted, Asking, Caller, Identity, Who, jwt};
use crate::{
    config::Config,
    domain::{Clock, Micros, strangers::Pieces},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

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

/// Tokens: bytes that are none, heads and claims of others, claims that we have signed; and keys.
pub fn token(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    match pieces.choice(4) {
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
        _ => jwt::holds_as_keys(pieces.bytes().unwrap_or_default()),
    }
}

/// Claims that we have signed, and the same token with another byte.
fn signed(pieces: &mut Pieces<'_>) {
    let (at, to) = (pieces.choice(256), pieces.choice(256));
    let Ok(said) = serde_json::from_str::<Value>(pieces.text()) else {
        return;
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let Ok(token) = encode(&Header::default(), &said, &key) else {
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

fn is_as_said(caller: &Caller, said: &Value) {
    let text = |name: &str| match &said[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (org, sub) = (text("org"), text("sub"));
    let read = caller.id.split_once(':');
    assert_eq!(read, Some((&*org, &*sub)), "its name is read in one way");
    assert!(!caller.id.chars().any(char::is_control) && caller.id.len() <= 128);
    assert!(caller.expires_at > Some(Still.now()), "it is not over");
    assert!(caller.audiences.len() <= MOST_AUDIENCES);
    assert!(caller.audiences.is_sorted_by(|one, next| one < next));
    let of_groups = [&said["groups"], &said["realm"]["roles"]].map(ToString::to_string);
    for audience in &*caller.audiences {
        assert!(!audience.is_everyone(), "everyone's is granted to nobody");
        let own = audience.as_str() == format!("account:{sub}");
        let named = Value::from(audience.as_str()).to_string();
        let number = audience.as_str();
        let is_of = |all: &String| all.contains(&named) || all.contains(number);
        assert!(own || of_groups.iter().any(is_of), "{audience} is not said");
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
