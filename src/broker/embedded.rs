//! The broker's life: bound, serving, stopped.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt5::broker::{
    BrokerConfig, MqttBroker, StorageBackendType, StorageConfig,
    config::{ServerDeliveryStrategy, WebSocketConfig},
    router::MessageRouter,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    gate::{Gate, GatewayLogin},
    granted::Granted,
    sessions::Sessions,
    watcher::Watcher,
};
use crate::{config::broker::Broker, cutover::Census, identity::passes::Doorkeeper};

/// Where the broker listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// MQTT over TCP.
    pub mqtt: SocketAddr,
    /// MQTT over WebSocket, if wanted.
    pub websocket: Option<SocketAddr>,
}

/// The broker cannot listen. The message names the key to change.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address is taken or not ours.
    #[error("{key}: cannot listen on {address} ({why}): choose another port, or stop what uses it")]
    Address {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's word for it.
        why: io::ErrorKind,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The broker library refuses its configuration.
    #[error("broker: {0}")]
    Configuration(String),
}

/// The broker ended without being asked to.
#[derive(Debug, thiserror::Error)]
#[error("the embedded broker has stopped: {0}")]
pub struct StoppedEarly(String);

/// A broker that holds its ports and serves nobody yet.
pub struct EmbeddedBroker {
    broker: MqttBroker,
    census: Arc<Census>,
    granted: Arc<Granted>,
    addresses: Addresses,
}

const MQTT_KEY: &str = "mqtt.targets.url";
const WEBSOCKET_KEY: &str = "mqtt.targets.websocket";

/// How often sessions that have expired are looked for.
const CLEANUP: Duration = Duration::from_mins(1);

/// How often connections whose passes have expired are looked for.
const EXPIRY: Duration = Duration::from_millis(500);

/// Clients that connect, and those that leave at the same time: so many times those that may have a session.
const GRANTS: usize = 2;

/// Publishes of the gateway that may be under way; its own `mirror.inflight` is the bound that counts.
const RECEIVE_MAXIMUM: u16 = 4_096;

impl EmbeddedBroker {
    /// Binds the listeners. Only the `gateway` may publish; clients enter and subscribe as `passes` say, or all of them as they like; the
    /// census is told who is connected.
    pub async fn bind(
        bounds: &Broker,
        addresses: Addresses,
        gateway: &GatewayLogin,
        passes: Option<Arc<dyn Doorkeeper>>,
        census: Arc<Census>,
    ) -> Result<Self, BindError> {
        // The library only warns when the WebSocket's port is taken, and words the other case for
        // its own configuration: so both are tried before.
        try_bind(MQTT_KEY, addresses.mqtt).await?;
        if let Some(websocket) = addresses.websocket {
            try_bind(WEBSOCKET_KEY, websocket).await?;
        }
        let granted = Arc::new(Granted::new(bounds.max_sessions.saturating_mul(GRANTS)));
        let watcher = Watcher::new(Arc::clone(&census), Arc::clone(&granted));
        let configuration = configuration(bounds, addresses).with_event_handler(Arc::new(watcher));
        let broker = MqttBroker::with_config(configuration)
            .await
            .map_err(|error| BindError::Configuration(error.to_string()))?;
        let stored = broker
            .storage()
            .ok_or_else(|| BindError::Configuration("it keeps no sessions".to_owned()))?;
        let gate = Gate {
            gateway: gateway.clone(),
            sessions: Sessions::new(bounds.max_sessions, &gateway.client_id, stored),
            passes,
            granted: Arc::clone(&granted),
        };
        let broker = broker.with_auth_provider(Arc::new(gate));
        let bound = Addresses {
            mqtt: broker
                .local_addr()
                .ok_or_else(|| not_bound(MQTT_KEY, addresses.mqtt))?,
            websocket: broker.ws_local_addr(),
        };
        if let (Some(wanted), None) = (addresses.websocket, bound.websocket) {
            return Err(not_bound(WEBSOCKET_KEY, wanted));
        }
        Ok(Self {
            broker,
            census,
            granted,
            addresses: bound,
        })
    }

    /// Where it listens: as asked for, with port 0 replaced by the port that was free.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop`. Sessions, queues and retained messages end with it; the ports are free
    /// when this returns.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), StoppedEarly> {
        let census = Arc::clone(&self.census);
        let ended = self.serve_until(stop).await;
        census.presence().ends(Instant::now());
        ended
    }

    async fn serve_until(mut self, stop: CancellationToken) -> Result<(), StoppedEarly> {
        let handle = self.broker.shutdown_handle();
        let mut ready = self.broker.ready_receiver();
        let expiring = expire(self.granted, self.broker.router());
        let mut run = Box::pin(self.broker.run());
        let ended = tokio::select! {
            ended = &mut run => Some(ended),
            () = stop.cancelled() => None,
            never = expiring => match never {},
        };
        if let Some(ended) = ended {
            let why = ended
                .err()
                .map_or("without a reason".to_owned(), |error| error.to_string());
            return Err(StoppedEarly(why));
        }
        // A shutdown that is signalled before the broker listens for it is lost.
        tokio::select! {
            _ = &mut run => return Ok(()),
            _ = ready.wait_for(|ready| *ready) => handle.shutdown(),
        }
        run.await.map_err(|error| StoppedEarly(error.to_string()))
    }
}

/// Ends the connections whose passes have expired. The library closes a connection that it no longer knows.
async fn expire(granted: Arc<Granted>, router: Arc<MessageRouter>) -> Infallible {
    loop {
        sleep(EXPIRY).await;
        for client_id in granted.expire(Instant::now()) {
            tracing::debug!(client_id, "a pass has expired, its connection ends");
            router.disconnect_client(&client_id).await;
        }
    }
}

async fn try_bind(key: &'static str, address: SocketAddr) -> Result<(), BindError> {
    match TcpListener::bind(address).await {
        Ok(_free) => Ok(()),
        Err(source) => Err(BindError::Address {
            key,
            address,
            why: source.kind(),
            source,
        }),
    }
}

fn not_bound(key: &'static str, address: SocketAddr) -> BindError {
    let source = io::Error::from(io::ErrorKind::AddrInUse);
    BindError::Address {
        key,
        address,
        why: source.kind(),
        source,
    }
}

fn configuration(bounds: &Broker, addresses: Addresses) -> BrokerConfig {
    let storage = StorageConfig::default()
        .with_backend(StorageBackendType::Memory)
        .with_cleanup_interval(CLEANUP)
        .with_max_queued_messages_per_client(bounds.queued_messages)
        .with_max_queued_bytes_per_client(bounds.queued_bytes);
    let mut config = BrokerConfig::default()
        .with_bind_addresses(vec![addresses.mqtt])
        .with_max_clients(bounds.max_connections)
        .with_max_packet_size(bounds.packet_bytes)
        .with_session_expiry(bounds.session_expiry.get())
        .with_client_channel_capacity(bounds.client_queue)
        .with_maximum_qos(1)
        .with_server_receive_maximum(RECEIVE_MAXIMUM)
        .with_server_delivery_strategy(ServerDeliveryStrategy::ControlOnly)
        .with_sys_topics_enabled(false)
        .with_storage(storage);
    config.max_subscriptions_per_client = bounds.subscriptions;
    if let Some(websocket) = addresses.websocket {
        let websocket = WebSocketConfig::default().with_bind_addresses(vec![websocket]);
        config = config.with_websocket(websocket);
    }
    config
}
