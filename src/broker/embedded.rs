//! The broker's life: bound, serving, stopped.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    engine::Engine,
    front::{Front, Speech},
    gate::{Gate, GatewayLogin},
    granted::Granted,
    sessions::Sessions,
    watcher::Watcher,
};
use crate::{
    config::{broker::Broker, port},
    cutover::Census,
    identity::passes::Doorkeeper,
};

/// Where the broker listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// MQTT over TCP.
    pub mqtt: SocketAddr,
    /// MQTT over WebSocket, if wanted.
    pub websocket: Option<SocketAddr>,
}

/// The broker cannot listen: an address is taken or not ours. The message names the key to change.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address} ({}): choose another port, or stop what uses it", source.kind())]
pub struct BindError {
    /// The configuration key.
    key: &'static str,
    address: SocketAddr,
    /// The system's error.
    #[source]
    source: io::Error,
}

/// A broker that holds its ports and serves nobody yet.
pub struct EmbeddedBroker {
    bounds: Broker,
    mqtt: TcpListener,
    websocket: Option<TcpListener>,
    engine: Arc<Engine>,
    gate: Arc<Gate>,
    census: Arc<Census>,
    granted: Arc<Granted>,
    addresses: Addresses,
}

/// How often connections whose passes have expired are looked for.
const EXPIRY: Duration = Duration::from_millis(500);

impl EmbeddedBroker {
    /// Binds the listeners. Only the `gateway` may publish; clients enter and subscribe as `passes` say, or all of them as they like; the
    /// census is told who is connected.
    pub fn bind(
        bounds: &Broker,
        addresses: Addresses,
        gateway: &GatewayLogin,
        passes: Option<Arc<dyn Doorkeeper>>,
        census: Arc<Census>,
    ) -> Result<Self, BindError> {
        let (mqtt, at) = listen("mqtt.targets.url", addresses.mqtt, bounds.backlog)?;
        let websocket = match addresses.websocket {
            Some(address) => Some(listen("mqtt.targets.websocket", address, bounds.backlog)?),
            None => None,
        };
        let (websocket, websocket_at) = websocket.unzip();
        let watcher = Watcher::new(Arc::clone(&census));
        let engine = Engine::new(bounds, Arc::new(watcher));
        let granted = Arc::new(Granted::new(bounds.max_connections_per_caller));
        let sessions = Sessions::new(bounds, &gateway.client_id, engine.stored());
        let gate = Gate::new(bounds, gateway, sessions, passes, Arc::clone(&granted));
        Ok(Self {
            bounds: bounds.clone(),
            mqtt,
            websocket,
            engine: Arc::new(engine),
            gate: Arc::new(gate),
            census,
            granted,
            addresses: Addresses {
                mqtt: at,
                websocket: websocket_at,
            },
        })
    }

    /// Where it listens: as asked for, with port 0 replaced by the port that was free.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop`. Sessions, queues and retained messages end with it; the ports are free
    /// when this returns.
    pub async fn serve(self, stop: CancellationToken) {
        let front = Front::new(&self.bounds, Arc::clone(&self.engine), self.gate, stop);
        let _left_over = front.guard();
        let by_websocket = async {
            if let Some(listener) = self.websocket {
                front.accept(listener, Speech::WebSocket).await;
            }
        };
        let accepting =
            async { tokio::join!(front.accept(self.mqtt, Speech::Plain), by_websocket) };
        tokio::select! {
            ((), ()) = accepting => {}
            never = self.engine.clean_up() => match never {},
            never = expire(&self.granted, &self.engine) => match never {},
        }
        front.end().await;
        self.census.presence().ends(Instant::now());
    }
}

/// Ends the connections whose passes have expired. The library closes a connection that it no longer knows. It is told again each time: of one
/// whose pass ended between gate and router it did not know yet.
async fn expire(granted: &Granted, engine: &Engine) -> Infallible {
    loop {
        sleep(EXPIRY).await;
        for (client_id, is_new) in granted.expire(Instant::now()) {
            if is_new {
                tracing::debug!(client_id, "a pass has expired, its connection ends");
            }
            engine.router().disconnect_client(&client_id).await;
        }
    }
}

fn listen(
    key: &'static str,
    address: SocketAddr,
    backlog: u32,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let refused = |source| BindError {
        key,
        address,
        source,
    };
    let listener = port::listen(address, backlog).map_err(refused)?;
    let at = listener.local_addr().map_err(refused)?;
    Ok((listener, at))
}
