//! Tokens of many callers, as an identity provider would sign them.

use std::{fs, path::PathBuf, time::SystemTime};

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// So many callers; caller i is `u<i>`.
    #[arg(long)]
    pub callers: u32,
    /// The file of a secret for HS256.
    #[arg(
        long,
        conflicts_with = "rsa_key_file",
        required_unless_present = "rsa_key_file"
    )]
    pub secret_file: Option<PathBuf>,
    /// The file of a private key for RS256, in PEM.
    #[arg(long)]
    pub rsa_key_file: Option<PathBuf>,
}

/// How long a token is good for: longer than any benchmark.
const LIFE_S: u64 = 86_400;

/// Signs for callers.
pub struct Signer {
    header: Header,
    key: EncodingKey,
    expires_at_s: u64,
}

impl Signer {
    pub fn new(algorithm: Algorithm, key: EncodingKey) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self {
            header: Header::new(algorithm),
            key,
            expires_at_s: now.as_secs() + LIFE_S,
        })
    }

    /// The token of one caller.
    pub fn token(&self, caller: u32) -> anyhow::Result<String> {
        let claims = json!({"sub": format!("u{caller}"), "exp": self.expires_at_s});
        Ok(encode(&self.header, &claims, &self.key)?)
    }
}

/// Prints a token a line.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let signer = match (&arguments.secret_file, &arguments.rsa_key_file) {
        (Some(file), _) => {
            let secret = fs::read(file)?;
            Signer::new(
                Algorithm::HS256,
                EncodingKey::from_secret(secret.trim_ascii()),
            )?
        }
        (None, file) => {
            let key = fs::read(file.as_ref().context("a key is needed")?)?;
            Signer::new(Algorithm::RS256, EncodingKey::from_rsa_pem(&key)?)?
        }
    };
    for caller in 0..arguments.callers {
        println!("{}", signer.token(caller)?);
    }
    Ok(())
}
