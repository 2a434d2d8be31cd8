//! Binding every listener, before anything is promised.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::StartError;
use crate::config::Config;

/// The bound HTTP listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) public: TcpListener,
    pub(super) private: TcpListener,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            public: bind("server.public", config.server.public).await?,
            private: bind("server.private", config.server.private).await?,
        })
    }

    pub(super) fn public_address(&self) -> Result<SocketAddr, StartError> {
        local_address("server.public", &self.public)
    }

    pub(super) fn private_address(&self) -> Result<SocketAddr, StartError> {
        local_address("server.private", &self.private)
    }
}

fn local_address(key: &'static str, listener: &TcpListener) -> Result<SocketAddr, StartError> {
    let address = listener.local_addr();
    address.map_err(|source| StartError::Bind {
        key: key.to_owned(),
        address: "its own address".to_owned(),
        source,
    })
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| StartError::Bind {
        key: key.to_owned(),
        address: address.to_string(),
        source,
    })
}
