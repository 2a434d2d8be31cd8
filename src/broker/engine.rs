//! The parts of the library, put together: what routes messages, what keeps sessions, and a handler for each connection.
//!
//! Its own server binds its own ports and accepts without a bound, so it is left out (docs/adr/0046). Invariant: nothing here listens.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use mqtt5::broker::{
    AuthProvider, BrokerConfig, BrokerEventHandler, DynamicStorage, MemoryBackend, ResourceLimits,
    ResourceMonitor, StorageBackend, client_handler::ClientHandler, config::ServerDeliveryStrategy,
    router::MessageRouter, storage::QueueLimits, sys_topics::BrokerStats,
    transport::BrokerTransport,
};
use tokio::{
    sync::broadcast,
    time::{MissedTickBehavior, interval},
};

use crate::config::broker::Broker;

/// How often sessions that have expired are looked for.
const CLEANUP: Duration = Duration::from_mins(1);

/// Publishes of the gateway that may be under way; its own `mirror.inflight` is the bound that counts.
const RECEIVE_MAXIMUM: u16 = 4_096;

/// What all connections of a broker share.
pub(super) struct Engine {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    stored: Arc<DynamicStorage>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    over: broadcast::Sender<()>,
}

/// How a handler hears that all is over. Taken before the handler is made, so that none misses it.
pub(super) type Over = broadcast::Receiver<()>;

impl Engine {
    pub(super) fn new(bounds: &Broker, told: Arc<dyn BrokerEventHandler>) -> Self {
        let queues = QueueLimits {
            max_messages: bounds.queued_messages,
            max_bytes: bounds.queued_bytes,
        };
        let config = configuration(bounds).with_event_handler(Arc::clone(&told));
        let backend = MemoryBackend::with_queue_limits(queues);
        let stored = Arc::new(DynamicStorage::Memory(backend));
        let router = MessageRouter::with_storage(Arc::clone(&stored))
            .with_fallback_queue_limits(queues)
            .with_event_handler(told)
            .with_retained_limits(
                config.max_retained_messages,
                config.max_retained_message_size,
            );
        // How many may connect is the gate's to say.
        let limits = ResourceLimits {
            max_message_rate_per_client: config.max_message_rate_per_client,
            max_bandwidth_per_client: config.max_bandwidth_per_client,
            ..ResourceLimits::default()
        };
        Self {
            config: Arc::new(config),
            router: Arc::new(router),
            stored,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(limits)),
            over: broadcast::channel(1).0,
        }
    }

    pub(super) fn stored(&self) -> Arc<DynamicStorage> {
        Arc::clone(&self.stored)
    }

    pub(super) fn router(&self) -> &MessageRouter {
        &self.router
    }

    pub(super) fn over(&self) -> Over {
        self.over.subscribe()
    }

    /// Who serves one connection.
    pub(super) fn handler(
        &self,
        transport: BrokerTransport,
        peer: SocketAddr,
        asks: Arc<dyn AuthProvider>,
        over: Over,
    ) -> ClientHandler {
        ClientHandler::new(
            transport,
            peer,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            asks,
            Some(Arc::clone(&self.stored)),
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            over,
        )
    }

    /// Forgets sessions that have expired, again and again.
    pub(super) async fn clean_up(&self) -> Infallible {
        let mut ticks = interval(CLEANUP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.stored.cleanup_expired().await {
                tracing::warn!(%error, "sessions that have expired cannot be forgotten");
            }
            self.router.sweep_sessions().await;
            self.monitor.cleanup_expired_windows().await;
        }
    }

    /// Tells all handlers to end.
    pub(super) fn end(&self) {
        // Without a handler there is nobody to hear it.
        let _unheard = self.over.send(());
    }
}

fn configuration(bounds: &Broker) -> BrokerConfig {
    let mut config = BrokerConfig::default()
        .with_max_packet_size(bounds.packet_bytes)
        .with_session_expiry(bounds.session_expiry.get())
        .with_client_channel_capacity(bounds.client_queue)
        .with_maximum_qos(1)
        .with_server_receive_maximum(RECEIVE_MAXIMUM)
        .with_server_delivery_strategy(ServerDeliveryStrategy::ControlOnly);
    config.max_subscriptions_per_client = bounds.subscriptions;
    config
}
