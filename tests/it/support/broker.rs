//! A broker that can be killed and started again on its port: Mosquitto as a process, or the
//! embedded broker.

#[cfg(feature = "embedded-broker")]
use super::embedded::Embedded;
use super::mosquitto::Mosquitto;

/// A broker, running or not.
pub enum Broker {
    Mosquitto(Mosquitto),
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

    /// An embedded broker for the gateway with this client id.
    #[cfg(feature = "embedded-broker")]
    pub async fn embedded(client_id: &str) -> Self {
        Self::Embedded(Embedded::start(client_id).await)
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.port(),
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
            Self::Mosquitto(_) => format!("mqtt://127.0.0.1:{port}"),
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => {
                let (user, password) = embedded.credentials();
                format!("mqtt://{user}:{password}@127.0.0.1:{port}")
            }
        }
    }

    /// Ends it: SIGKILL for the process, a stop for the embedded one. Either forgets everything.
    pub async fn kill(&mut self) {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.kill(),
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.stop().await,
        }
    }

    /// Starts it again, on its port.
    pub async fn restart(&mut self) {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.restart(),
            #[cfg(feature = "embedded-broker")]
            Self::Embedded(embedded) => embedded.serve().await,
        }
    }
}
