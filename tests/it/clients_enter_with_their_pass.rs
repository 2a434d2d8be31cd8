//! The embedded broker with known callers: a client enters with its own pass under its own id, reads what the pass names, and no more.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use changeover::{
    broker::{Addresses, EmbeddedBroker, GatewayLogin},
    config::{Config, broker::Broker, mqtt::Protocol},
    cutover::Census,
    domain::Audience,
    identity::passes::{Issued, Passes},
    mirror::{Access, mqtt::Grant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::passes::{Entering, caller, passes};

const VERSIONS: [Protocol; 2] = [Protocol::V5, Protocol::V311];
const HOUR: Duration = Duration::from_hours(1);
const OWN: &str = "changeover/c/orders/u1";

struct Serving {
    url: String,
    passes: Arc<Passes>,
    gateway: Issued,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    async fn start(lifetime: Duration) -> Self {
        let config: Config = toml::from_str("[[modules]]\nname = \"orders\"\n").unwrap();
        let passes = passes(lifetime);
        let access = Access::new(&config, Arc::clone(&passes), |_| true);
        let addresses = Addresses {
            mqtt: SocketAddr::from(([127, 0, 0, 1], 0)),
            websocket: None,
        };
        let login = GatewayLogin::random("changeover-gw-1");
        let broker = EmbeddedBroker::bind(
            &Broker::default(),
            addresses,
            &login,
            Some(Arc::new(access)),
            Arc::new(Census::nobodys()),
        )
        .await
        .unwrap();
        let (user, password) = login.credentials();
        let stop = CancellationToken::new();
        let url = format!("mqtt://{}", broker.addresses().mqtt);
        let serving = broker.serve(stop.clone());
        Self {
            url,
            passes,
            gateway: Issued {
                username: user.to_owned(),
                password: password.to_owned(),
            },
            stop,
            task: tokio::spawn(async move { serving.await.unwrap() }),
        }
    }

    fn pass(&self, audience: &str, client_id: &str) -> Issued {
        let own = [Audience::new(audience, 64).unwrap()];
        self.passes
            .issue(&caller(audience), &own, client_id)
            .unwrap()
    }

    fn open(&self, version: Protocol, client_id: &str, with: Option<&Issued>) -> Entering {
        Entering::open(&self.url, version, client_id, with)
    }

    async fn gateway(&self) -> Entering {
        let mut gateway = self.open(Protocol::V5, "changeover-gw-1", Some(&self.gateway));
        assert_eq!(gateway.is_let_in().await, Some(false));
        gateway
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn it_reads_its_own_and_is_refused_the_rest() {
    let broker = Serving::start(HOUR).await;
    let gateway = broker.gateway().await;
    for version in VERSIONS {
        let pass = broker.pass("u1", "one");
        let mut client = broker.open(version, "one", Some(&pass));
        assert!(client.is_let_in().await.is_some());
        let own = [OWN, "changeover/c/orders/_all", "changeover/m/orders"];
        assert_eq!(client.subscribe(&own).await, Some(Grant::AtLeastOnce));
        for other in [
            "changeover/c/orders/u2",
            "changeover/c/orders/u10",
            "changeover/c/orders/+",
            "changeover/c/orders/#",
            "changeover/c/other/u1",
            "changeover/m/+",
            "#",
            "+/+/+/+",
            "$SYS/#",
            "$share/g/changeover/c/orders/u2",
            "$share/g/changeover/c/orders/+",
            "$share/g/#",
        ] {
            let granted = client.subscribe(&[other]).await;
            assert_eq!(granted, Some(Grant::Refused), "{version:?} {other}");
        }
        let shared = "$share/g/changeover/c/orders/u1";
        assert_eq!(client.subscribe(&[shared]).await, Some(Grant::AtLeastOnce));
        // What it says reaches nobody, itself neither.
        client.publish(OWN, "forged");
        client.publish("elsewhere", "forged");
        gateway.publish("changeover/c/orders/u2", "another's");
        gateway.publish(OWN, "its own");
        let message = client.message().await;
        assert_eq!(message, (OWN.to_owned(), "its own".to_owned()));
        client.close().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn nobody_else_enters_with_it() {
    let broker = Serving::start(HOUR).await;
    let gateway = broker.gateway().await;
    for version in VERSIONS {
        let pass = broker.pass("u1", "one");
        let mut right = broker.open(version, "one", Some(&pass));
        assert!(right.is_let_in().await.is_some());
        assert_eq!(right.subscribe(&[OWN]).await, Some(Grant::AtLeastOnce));
        let changed = |password: &str| {
            let first = if password.starts_with('A') { "B" } else { "A" };
            format!("{first}{}", &password[1..])
        };
        let tampered = Issued {
            password: changed(&pass.password),
            ..pass.clone()
        };
        let crossed = Issued {
            username: broker.pass("u2", "one").username,
            ..pass.clone()
        };
        let empty = Issued {
            password: String::new(),
            ..pass.clone()
        };
        let gateways = Issued {
            username: broker.gateway.username.clone(),
            ..pass.clone()
        };
        for (client_id, with) in [
            ("two", Some(&pass)),
            ("one", Some(&tampered)),
            ("one", Some(&crossed)),
            ("one", Some(&empty)),
            ("one", Some(&gateways)),
            ("changeover-gw-1", Some(&pass)),
            ("one", None),
        ] {
            let mut other = broker.open(version, client_id, with);
            assert_eq!(other.is_let_in().await, None, "{version:?} {client_id}");
        }
        // None of them has thrown it out.
        gateway.publish(OWN, "still there");
        assert_eq!(right.message().await.1, "still there");
        right.close().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn it_ends_with_its_pass_and_finds_its_session_with_the_next() {
    let broker = Serving::start(Duration::from_secs(3)).await;
    let gateway = broker.gateway().await;
    for version in VERSIONS {
        let id = format!("one-{}", version.as_str().replace('.', ""));
        let pass = broker.pass("u1", &id);
        let mut client = broker.open(version, &id, Some(&pass));
        assert_eq!(client.is_let_in().await, Some(false));
        assert_eq!(client.subscribe(&[OWN]).await, Some(Grant::AtLeastOnce));
        client.ended().await;
        let mut late = broker.open(version, &id, Some(&pass));
        assert_eq!(late.is_let_in().await, None, "{version:?}: it has expired");
        gateway.publish(OWN, "while it was away");
        let mut again = broker.open(version, &id, Some(&broker.pass("u1", &id)));
        assert_eq!(again.is_let_in().await, Some(true), "{version:?}");
        assert_eq!(again.message().await.1, "while it was away");
        again.close().await;
    }
    broker.stop().await;
}
