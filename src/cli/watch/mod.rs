//! `changeover watch`: shows a module's changes as a client gets them, by polls or by push, as the gateway tells it; or what one broker
//! delivers.

mod delivered;
mod gateway;
mod headers;
mod line;
mod lines;
mod session;

use std::{io::IsTerminal, str::FromStr};

use clap::Args;
use url::Url;

use self::{delivered::Delivered, gateway::Gateway, headers::Given, session::Watching};
use super::{
    Failure, Globals,
    client::{TlsFlags, Wire, loopback_url},
};
use crate::{
    client::Progress,
    domain::{Audience, Cursor, Invalid, ModuleName},
};

/// What `watch` takes.
#[derive(Debug, Args)]
pub struct Watch {
    /// The module.
    module: ModuleName,
    /// Whose changes, besides everyone's. With `--target`, only those; without it, all.
    #[arg(long, value_parser = audience)]
    audience: Option<Audience>,
    /// Shows what the broker of this target delivers, instead of what a client gets.
    #[arg(long, conflicts_with_all = ["url", "client_id", "from", "headers"])]
    target: Option<String>,
    /// Public listener, e.g. `http://127.0.0.1:8080`; without it, `server.public` of the configuration.
    #[arg(long)]
    url: Option<Url>,
    /// The client that asks: it is told what that one is told. Without it, one of its own.
    #[arg(long)]
    client_id: Option<String>,
    /// Where to begin: `now`, `beginning` (of the log), `state` (of every key), or a cursor.
    #[arg(long, default_value = "now")]
    from: From,
    /// A header of each request to the gateway, as callers that it knows need one: `X-Api-Key: KEY`, `Authorization: Bearer TOKEN`. `@FILE` stands for
    /// a file of such lines, which, unlike arguments, the machine's other users do not see. May be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE|@FILE")]
    headers: Vec<Given>,
    #[command(flatten)]
    tls: TlsFlags,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Beginning,
    State,
    After(Cursor),
}

impl FromStr for From {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        Ok(match word {
            "now" => Self::Now,
            "beginning" => Self::Beginning,
            "state" => Self::State,
            cursor => Self::After(cursor.parse().map_err(|_: Invalid| {
                Invalid::new("from", "must be now, beginning, state or a cursor")
            })?),
        })
    }
}

impl Watch {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let config = globals.load()?;
        if let Some(target) = &self.target {
            let delivered = Delivered {
                module: &self.module,
                audience: self.audience.as_ref(),
                target,
            };
            return delivered.show(&config).await;
        }
        let base = if let Some(url) = self.url {
            url
        } else {
            let server = &config.server;
            loopback_url("server.public", server.public, server.public_tls.is_some())?
        };
        let wire = Wire::new(Some(gateway::AGENT), self.tls.for_url(&base)?)?;
        let client_id = self
            .client_id
            .unwrap_or_else(|| format!("watch-{:016x}", rand::random::<u64>()));
        let headers = headers::read(&self.headers).map_err(Failure::Usage)?;
        let gateway = Gateway::new(
            (wire, base, headers),
            client_id,
            self.audience,
            self.module.clone(),
        );
        let progress = match self.from {
            From::Now => Progress::after(gateway.end().await?),
            From::Beginning => Progress::from_the_beginning(),
            From::State => Progress::from_the_state(),
            From::After(cursor) => Progress::after(cursor),
        };
        let terminal = std::io::stdout().is_terminal();
        let watching = Watching::new(gateway, config.mqtt, self.module, progress, terminal);
        Ok(watching.run().await?)
    }
}

fn audience(text: &str) -> Result<Audience, Invalid> {
    text.to_owned().try_into()
}
