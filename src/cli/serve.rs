//! `changeover serve`: the gateway itself.

use anyhow::{Context, anyhow};
use clap::Args;

use super::{Failure, Globals};
use crate::{
    runtime::{Gateway, Options, raise_open_files, shutdown_signal},
    telemetry,
};

/// What `serve` takes.
#[derive(Debug, Args)]
pub struct Serve {
    /// Refuses to start on a schema with pending migrations instead of running them, and makes no index.
    #[arg(long)]
    no_migrate: bool,
}

impl Serve {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let config = globals.load_to_serve()?;
        telemetry::init(&config.log).map_err(|why| anyhow!("log.filter: {why}"))?;
        for warning in &config.warnings() {
            tracing::warn!(%warning, "the configuration may not be what was meant");
        }
        if let Some(open) = config.who_is_open() {
            tracing::warn!("auth.callers: {open}");
        }
        let links = super::links(&config);
        for warning in links.problems.iter().chain(&links.warnings) {
            tracing::warn!(%warning, "a link to a broker may fail");
        }
        let certificates = super::certificates(&config);
        let trouble = certificates.problems.iter().chain(&certificates.warnings);
        for warning in trouble {
            tracing::warn!(%warning, "clients may not believe a listener");
        }
        let shutdown = shutdown_signal().context("cannot listen for signals")?;
        raise_open_files(&config);
        let options = Options {
            migrate: !self.no_migrate,
        };
        let gateway = Gateway::start(config, options)
            .await
            .map_err(anyhow::Error::new)?;
        gateway.run(shutdown).await.map_err(anyhow::Error::new)?;
        Ok(())
    }
}
