//! What every broker behind the mirror must do, as one suite, and where they differ: docs/BROKERS.md says what these tests show.

mod bookmarks;
mod delivery;
mod quirks;
mod refusals;
mod versions;

use changeover::{config::mqtt::Protocol, mirror::mqtt::Endpoint};

use crate::support::{broker::Broker, mirror_rig::Rig};

/// A broker, and how it is spoken to.
pub struct Case {
    broker: Broker,
    protocol: Protocol,
    /// The gateway's.
    client_id: String,
}

impl Case {
    /// A gateway's mirror of modules that no other test has: one RabbitMQ serves all of them.
    fn rig(&self, modules: &[&str]) -> Rig {
        let mut rig = Rig::new(&self.broker.url(), self.protocol, modules);
        rig.target.client_id.clone_from(&self.client_id);
        rig.target.endpoint = self.endpoint();
        rig
    }

    /// Where the gateway connects, with its login if it has one.
    fn endpoint(&self) -> Endpoint {
        let url = self.broker.gateway_url(self.broker.port());
        Endpoint::parse(&url, self.protocol).unwrap()
    }
}

/// Makes a test of each broker and version out of a function that takes the case.
macro_rules! on_each_broker {
    ($test:ident) => {
        mod $test {
            use changeover::config::mqtt::Protocol::{V5, V311};

            use crate::support::{broker::Broker, servers_are_skipped};

            const ID: &str = concat!("gateway-", stringify!($test));

            #[cfg(feature = "embedded-broker")]
            $crate::every_broker::on_each_broker!(@one $test embedded_5 V5 Broker::embedded(ID).await);
            #[cfg(feature = "embedded-broker")]
            $crate::every_broker::on_each_broker!(@one $test embedded_3_1_1 V311 Broker::embedded(ID).await);
            $crate::every_broker::on_each_broker!(@one $test mosquitto_5 V5 Broker::mosquitto());
            $crate::every_broker::on_each_broker!(@one $test mosquitto_3_1_1 V311 Broker::mosquitto());
            $crate::every_broker::on_each_broker!(@one $test rabbitmq_3_1_1 V311 Broker::shared_rabbitmq());
            $crate::every_broker::on_each_broker!(@one $test nats_3_1_1 V311 Broker::nats());
        }
    };
    (@one $test:ident $name:ident $protocol:ident $broker:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if servers_are_skipped() {
                return;
            }
            let case = $crate::every_broker::Case {
                broker: $broker,
                protocol: $protocol,
                client_id: ID.to_owned(),
            };
            super::$test(case).await;
        }
    };
}
use on_each_broker;
