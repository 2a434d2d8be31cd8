//! Callers with credentials, as account services and operators give them out.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::RequestBuilder;
use serde_json::json;
use sha2::{Digest, Sha256};

/// What tokens of accounts are signed with.
const SECRET: &str = "only for tests: forty-two bytes of a secret";
/// What tokens of accounts were signed with before.
const OLD_SECRET: &str = "only for tests: what was believed once, before";
/// The key of a shop.
const KEY: &str = "only-for-tests-0123456789abcdef";

/// Accounts, which bring a token and read what is of their name; and one shop, which brings a key, is called `u1` as an account is and reads
/// what is of that account.
pub fn auth() -> String {
    let hash = Sha256::digest(KEY);
    format!(
        r#"
[[auth.callers]]
kind = "jwt"
name = "accounts"
algorithm = "HS256"
secret = "{SECRET}"
leeway_s = 0
audiences = ["{{sub}}"]

[[auth.callers]]
kind = "key"
name = "shops"
credential = {{ name = "X-Api-Key" }}
[[auth.callers.keys]]
id = "u1"
hash = "sha256:{hash:x}"
audiences = ["u1"]
"#
    )
}

/// Callers that are believed no more: accounts whose tokens are signed otherwise.
pub fn old_auth() -> String {
    format!(
        "\n[[auth.callers]]\nkind = \"jwt\"\nname = \"gone\"\nalgorithm = \"HS256\"\nsecret = \"{OLD_SECRET}\"\n\
         audiences = [\"{{sub}}\"]\n"
    )
}

/// The header by which the shop shows its key, as the command line takes it.
pub fn key_header() -> String {
    format!("X-Api-Key: {KEY}")
}

/// What a request brings along.
#[derive(Debug, Clone)]
pub enum Credential {
    Nothing,
    Token(String),
    Key,
}

impl Credential {
    /// The token of an account, for a minute.
    pub fn of(account: &str) -> Self {
        Self::until(account, 60)
    }

    /// The token of an account that is believed for so many seconds from now.
    pub fn until(account: &str, seconds: i64) -> Self {
        Self::Token(signed(SECRET, account, seconds))
    }

    /// The token of an account that somebody else has signed.
    pub fn forged(account: &str) -> Self {
        Self::Token(signed(
            "another secret, of as many bytes as this",
            account,
            60,
        ))
    }

    /// The token of an account as [`old_auth`] believes it.
    pub fn revoked(account: &str) -> Self {
        Self::Token(signed(OLD_SECRET, account, 3_600))
    }

    /// Puts it onto a request.
    pub fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Nothing => request,
            Self::Token(token) => request.bearer_auth(token),
            Self::Key => request.header("x-api-key", KEY),
        }
    }
}

/// A token of this account for so many seconds, signed with this secret.
pub fn signed(secret: &str, account: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = i64::try_from(now.as_secs()).unwrap() + seconds;
    let claims = json!({"sub": account, "exp": end});
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}
