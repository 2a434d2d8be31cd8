//! The embedded broker without its gateway, stopped and started on one port.

use std::{net::SocketAddr, sync::Arc};

use changeover::{
    broker::{Addresses, EmbeddedBroker, GatewayLogin},
    config,
    cutover::Census,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The broker, running or not. The gateway's login lives through every restart.
pub struct Embedded {
    port: u16,
    login: GatewayLogin,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Embedded {
    /// Starts a broker that lets the gateway with this client id publish.
    pub async fn start(client_id: &str) -> Self {
        let mut embedded = Self {
            port: 0,
            login: GatewayLogin::random(client_id),
            serving: None,
        };
        embedded.serve().await;
        embedded
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The gateway's user name and password.
    pub fn credentials(&self) -> (&str, &str) {
        self.login.credentials()
    }

    /// Starts it again after [`Self::stop`], on the same port.
    #[expect(
        clippy::unused_async,
        reason = "it starts tasks: only within a runtime"
    )]
    pub async fn serve(&mut self) {
        let addresses = Addresses {
            mqtt: SocketAddr::from(([127, 0, 0, 1], self.port)),
            websocket: None,
        };
        let bounds = config::broker::Broker::default();
        let broker = EmbeddedBroker::bind(
            &bounds,
            addresses,
            &self.login,
            None,
            Arc::new(Census::nobodys()),
        )
        .unwrap();
        self.port = broker.addresses().mqtt.port();
        let stop = CancellationToken::new();
        let serving = broker.serve(stop.clone());
        let serving = tokio::spawn(serving);
        self.serving = Some((stop, serving));
    }

    /// Stops it. It forgets everything.
    pub async fn stop(&mut self) {
        let (stop, serving) = self.serving.take().expect("it runs");
        stop.cancel();
        serving.await.unwrap();
    }
}
