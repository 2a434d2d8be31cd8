//! The embedded broker that lets in who has a pass, without its gateway.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use changeover::{
    broker::{Addresses, EmbeddedBroker, GatewayLogin},
    config::{Config, broker::Broker, mqtt::Protocol},
    cutover::Census,
    domain::Audience,
    identity::passes::{Issued, Passes},
    mirror::Access,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::passes::{Entering, caller, passes};

/// The gateway's client id there.
pub const GATEWAY: &str = "changeover-gw-1";

/// A broker with the module `orders`, for callers of one realm.
pub struct LettingIn {
    pub addresses: Addresses,
    pub url: String,
    pub passes: Arc<Passes>,
    /// With what the gateway itself enters.
    pub gateway: Issued,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl LettingIn {
    /// Passes are good for so long.
    #[expect(
        clippy::unused_async,
        reason = "it starts tasks: only within a runtime"
    )]
    pub async fn start(bounds: &Broker, lifetime: Duration) -> Self {
        let config: Config = toml::from_str("[[modules]]\nname = \"orders\"\n").unwrap();
        let passes = passes(lifetime);
        let access = Access::new(&config, Arc::clone(&passes), |_| true);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses {
            mqtt: free,
            websocket: Some(free),
        };
        let login = GatewayLogin::random(GATEWAY);
        let doorkeeper = Some(Arc::new(access) as _);
        let census = Arc::new(Census::nobodys());
        let broker = EmbeddedBroker::bind(bounds, addresses, &login, doorkeeper, census).unwrap();
        let (user, password) = login.credentials();
        let addresses = broker.addresses();
        let stop = CancellationToken::new();
        Self {
            addresses,
            url: format!("mqtt://{}", addresses.mqtt),
            passes,
            gateway: Issued {
                username: user.to_owned(),
                password: password.to_owned(),
            },
            task: tokio::spawn(broker.serve(stop.clone())),
            stop,
        }
    }

    /// A pass of the caller that is called as its audience is.
    pub fn pass(&self, audience: &str, client_id: &str) -> Issued {
        let own = [Audience::new(audience, 64).unwrap()];
        self.passes
            .issue(&caller(audience), &own, client_id)
            .unwrap()
    }

    pub fn open(&self, version: Protocol, client_id: &str, with: Option<&Issued>) -> Entering {
        Entering::open(&self.url, version, client_id, with)
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
