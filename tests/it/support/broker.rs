//! A broker that can be killed and started again on its port: Mosquitto, RabbitMQ or NATS as a process, or
//! the embedded broker.

use tokio::task::block_in_place;

#[cfg(feature = "embedded-broker")]
use super::embedded::Embedded;
use super::{
    mosquitto::Mosquitto,
    nats::Nats,
    rabbitmq::{self, RabbitMq},
};

/// A broker, running or not.
pub enum Broker {
    Mosquitto(Mosquitto),
    RabbitMq(RabbitMq),
    /// The one that nobody may kill.
    SharedRabbitMq(&'static RabbitMq),
    Nats(Nats),
    #[cfg(feature = "embedded-broker")]
    Embedded(Embedded),
}

impl Broker {
    /// A Mosquitto that keeps nothing over a restart and drops nothing while it runs.
    pub fn mosquitto() -> Self {
        // Its window of 20 would make a subscriber on a busy machine fall behind.
        let lines = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n";
        Self::Mosquitto(Mosquitto::start_with(lines))
    }

    /// A RabbitMQ of the test's own.
    pub fn rabbitmq() -> Self {
        Self::RabbitMq(block_in_place(RabbitMq::start))
    }

    /// The RabbitMQ of all tests: modules and client ids must differ from theirs.
    pub fn shared_rabbitmq() -> Self {
        Self::SharedRabbitMq(block_in_place(|| &*rabbitmq::SHARED))
    }

    /// A NATS server.
    pub fn nats() -> Self {
        Self::Nats(block_in_place(Nats::start))
    }

    /// An embedded broker for the gateway with this client id.
    #[cfg(feature = "embedded-broker")]
    pub async fn embedded(client_id: &str) -> Self {
        Self::Embedded(Embedded::start(client_id).await)
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.port(),
            Self::RabbitMq(rabbitmq) => rabbitmq.port(),
            Self::SharedRabbitMq(rabbitmq) => rabbitmq.port(),
            Self::Nats(nats) => nats.port(),
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.port(),
        }
    }

    /// Where a subscriber finds it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port())
    }

    /// What a gateway says to get in through this port: the broker's own, or a witness's.
    pub fn gateway_url(&self, port: u16) -> String {
        match self {
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => {
                let (user, password) = embedded.credentials();
                format!("mqtt://{user}:{password}@127.0.0.1:{port}")
            }
            _ => format!("mqtt://127.0.0.1:{port}"),
        }
    }

    /// Ends it: SIGKILL for a process, a stop for the embedded one. Mosquitto and the embedded one forget everything.
    pub async fn kill(&mut self) {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.kill(),
            Self::RabbitMq(rabbitmq) => block_in_place(|| rabbitmq.kill()),
            Self::SharedRabbitMq(_) => panic!("others use it"),
            Self::Nats(nats) => block_in_place(|| nats.kill()),
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.stop().await,
        }
    }

    /// Starts it again, on its port.
    pub async fn restart(&mut self) {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.restart(),
            Self::RabbitMq(rabbitmq) => block_in_place(|| rabbitmq.restart()),
            Self::SharedRabbitMq(_) => panic!("others use it"),
            Self::Nats(nats) => block_in_place(|| nats.restart()),
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.serve().await,
        }
    }
}
