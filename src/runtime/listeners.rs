//! Binding every listener, before anything is promised, and what stands around each.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;

use super::{
    StartError,
    tasks::{Rank, Tasks},
};
use crate::{
    config::{Config, listener_tls::ListenerTls, port, server::Server},
    http::{
        serving::{Bounds, Tls, Walls},
        tls::Certificates,
    },
};

/// The bound HTTP listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) public: TcpListener,
    pub(super) private: TcpListener,
}

/// What stands around each.
pub(super) struct Around {
    pub(super) public: Walls,
    pub(super) private: Walls,
}

impl Around {
    /// Reads the certificates, and sees to it that they are read again.
    pub(super) fn raise(config: &Config, tasks: &mut Tasks) -> Result<Self, StartError> {
        let server = &config.server;
        // A broker asks for all of its clients, over a pool of connections from one address.
        let pools = config.broker_hooks.callers();
        let files = server.public_tls.as_ref();
        let public = certificates("public", "server.public_tls", files, tasks)?;
        let files = server.private_tls.as_ref();
        let private = certificates("private", "server.private_tls", files, tasks)?;
        let walls = |name, certificates: Option<_>, proxies| Walls {
            name,
            bounds: bounds(server),
            proxies,
            tls: certificates.map(|certificates| Tls {
                certificates,
                strict_s: server.hsts_s,
            }),
        };
        Ok(Self {
            public: walls("public", public, server.proxies().into()),
            private: walls("private", private, pools.into()),
        })
    }
}

fn certificates(
    listener: &'static str,
    key: &'static str,
    files: Option<&ListenerTls>,
    tasks: &mut Tasks,
) -> Result<Option<Arc<Certificates>>, StartError> {
    let Some(files) = files else {
        return Ok(None);
    };
    let loaded = Certificates::load(listener, files.clone());
    let loaded = loaded.map_err(|why| StartError::Tls { listener: key, why })?;
    let certificates = Arc::new(loaded);
    let looking = Arc::clone(&certificates);
    tasks.spawn(Rank::Reader, "certificates", |stop| looking.run(stop));
    Ok(Some(certificates))
}

fn bounds(server: &Server) -> Bounds {
    Bounds {
        connections: server.max_connections,
        per_address: server.max_connections_per_address,
        idle_timeout: Duration::from_millis(server.idle_timeout_ms),
        head_timeout: Duration::from_millis(server.head_timeout_ms),
        head_bytes: server.max_head_bytes,
        headers: server.max_headers,
    }
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let server = &config.server;
        Ok(Self {
            public: bind("server.public", server.public, server.backlog)?,
            private: bind("server.private", server.private, server.backlog)?,
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

fn bind(key: &'static str, address: SocketAddr, backlog: u32) -> Result<TcpListener, StartError> {
    port::listen(address, backlog).map_err(|source| StartError::Bind {
        key: key.to_owned(),
        address: address.to_string(),
        source,
    })
}
