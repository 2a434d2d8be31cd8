//! How a listener with TLS is known, and what is shown to it: flags of every command that asks a gateway.

use std::{path::PathBuf, sync::Arc};

use anyhow::anyhow;
use clap::{Args, ValueHint};
use tokio_rustls::rustls::ClientConfig;
use url::Url;

use crate::{cli::Failure, config::target_link::TlsFiles, mirror::mqtt::client_config};

/// TLS to a gateway.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsFlags {
    /// CAs in PEM by which an `https://` gateway is known; without it, those of the system.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// Certificate in PEM that is shown to a gateway which asks for one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

impl TlsFlags {
    /// What is spoken to this URL; `None` for plain HTTP. Refuses what is neither.
    pub(in crate::cli) fn for_url(&self, url: &Url) -> Result<Option<Arc<ClientConfig>>, Failure> {
        match url.scheme() {
            "https" if url.has_host() => {}
            "http" if url.has_host() => return Ok(None),
            _ => {
                return Err(Failure::Usage(anyhow!(
                    "--url must be an http:// or https:// URL"
                )));
            }
        }
        let files = TlsFiles {
            ca: self.ca_file.clone(),
            client: self.client_cert.clone().zip(self.client_key.clone()),
        };
        let made = client_config(&files).map_err(|unusable| {
            let flag = match unusable.key {
                "client_cert_file" => "--client-cert",
                "client_key_file" => "--client-key",
                _ => "--ca-file",
            };
            Failure::Usage(anyhow!("{flag}: {}", unusable.why))
        })?;
        Ok(Some(Arc::new(made)))
    }
}
