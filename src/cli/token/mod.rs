//! `changeover token …`: who may do what at the private listener.

mod create;
mod table;

use clap::{Args, Subcommand};
use rand::random;
use serde_json::{Value, json};

use self::create::Create;
use super::{Failure, Globals, Output, actor::Actor, client::Remote, output::say};
use crate::identity::operators::TokenText;

/// The commands about tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Makes a token, and shows its text this once.
    Create(Create),
    /// Shows the tokens, without their texts.
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        output: Output,
    },
    /// Takes a token back: it is refused within a second, everywhere.
    Revoke(Revoke),
    /// Writes the text of a token that no gateway knows yet, for `auth.admin_token_file`. Asks nobody.
    Generate,
}

/// What a revocation takes.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The id of the token, as `token list` shows it: the part of its text that is no secret.
    id: String,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const PATH: [&str; 3] = ["admin", "v1", "tokens"];

impl Token {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(globals).await,
            Self::List { remote, output } => {
                let answer = remote.client(globals)?.get(&PATH, &[]).await?;
                Ok(output.print(&answer, table::all)?)
            }
            Self::Revoke(revoke) => revoke.run(globals).await,
            Self::Generate => Ok(say(TokenText::new(&random()).reveal())?),
        }
    }
}

impl Revoke {
    async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let path = [&PATH[..], &[self.id.as_str()]].concat();
        let body: Value = json!({"reason": self.actor.reason});
        let answer = client.undo(&path, &body, &self.actor).await?;
        Ok(self
            .output
            .print(&answer, |answer| table::done("revoked", answer))?)
    }
}
