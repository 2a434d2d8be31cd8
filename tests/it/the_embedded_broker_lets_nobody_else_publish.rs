//! The embedded broker, as stock clients see it: everyone may listen, only the gateway speaks.

use std::{net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use changeover::{
    broker::{Addresses, EmbeddedBroker, GATEWAY_USER, GatewayLogin},
    config::{broker::Broker, mqtt::Protocol},
    cutover::Census,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::{eventually, follower::Follower, free_port, mirror_rig::Rig, within};

const PATIENCE: Duration = Duration::from_secs(15);
const CLIENT_ID: &str = "changeover-test-1";
const VERSIONS: [&str; 2] = ["mqttv5", "mqttv311"];

struct Serving {
    addresses: Addresses,
    login: GatewayLogin,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    async fn start(port: u16) -> Self {
        Self::start_for(port, GatewayLogin::random(CLIENT_ID)).await
    }

    #[expect(
        clippy::unused_async,
        reason = "it starts tasks: only within a runtime"
    )]
    async fn start_for(port: u16, login: GatewayLogin) -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let wanted = Addresses {
            mqtt: local(port),
            websocket: Some(local(0)),
        };
        let broker = EmbeddedBroker::bind(
            &Broker::default(),
            wanted,
            &login,
            None,
            Arc::new(Census::nobodys()),
        )
        .unwrap();
        let addresses = broker.addresses();
        let stop = CancellationToken::new();
        let serving = broker.serve(stop.clone());
        let task = tokio::spawn(serving);
        Self {
            addresses,
            login,
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        within("the broker stops", PATIENCE, self.task)
            .await
            .unwrap();
    }

    fn rig(&self) -> Rig {
        let url = format!("mqtt://{}", self.addresses.mqtt);
        let mut rig = Rig::new(&url, Protocol::V5, &["m1"]);
        let (user, password) = self.login.credentials();
        rig.target.endpoint = rig.target.endpoint.with_login(user, password);
        rig
    }

    fn client(&self, program: &str, version: &str, args: &[&str]) -> Command {
        // Without it the clients keep their lines until there is a page of them.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", program])
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.addresses.mqtt.port().to_string(),
                "-V",
                version,
                "-q",
                "1",
            ])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn subscribe(&self, version: &str, filter: &str) -> Subscriber {
        let mut process = self
            .client("mosquitto_sub", version, &["-d", "-v", "-t", filter])
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut subscriber = Subscriber {
            _process: process,
            lines,
        };
        subscriber
            .line("a subscription", |line| line.starts_with("Subscribed"))
            .await;
        subscriber
    }

    async fn publish(&self, version: &str, args: &[&str]) -> (bool, String) {
        let run = self
            .client(
                "mosquitto_pub",
                version,
                &[args, &["-d", "-m", "forged"]].concat(),
            )
            .output();
        let output = within("mosquitto_pub ends", PATIENCE, run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }
}

/// A stock subscriber.
struct Subscriber {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    async fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        within(what, PATIENCE, async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it goes on");
                assert!(!line.contains("forged"), "{line}");
                if wanted(&line) {
                    return line;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn stock_clients_receive_and_their_own_publishes_reach_nobody() {
    let broker = Serving::start(0).await;
    let mut rig = broker.rig();
    let mut subscribers = Vec::new();
    for version in VERSIONS {
        subscribers.push(broker.subscribe(version, "#").await);
    }
    for version in VERSIONS {
        for topic in [
            "changeover/c/m1/_all",
            "changeover/m/m1",
            "changeover",
            "elsewhere",
            "$SYS/x",
        ] {
            let (_, said) = broker.publish(version, &["-r", "-t", topic]).await;
            let refused = said.contains("Not authorized")
                || said.contains("not authorized")
                || said.contains("rc135");
            assert!(
                version == "mqttv311" || refused,
                "{version} {topic}: {said}"
            );
        }
        // A last will is a publish too.
        let (_, said) = broker
            .publish(
                version,
                &[
                    "-t",
                    "elsewhere",
                    "--will-topic",
                    "changeover/c/m1/_all",
                    "--will-payload",
                    "forged",
                ],
            )
            .await;
        assert!(!said.contains("Error"), "{said}");
    }
    let publisher = rig.start();
    rig.append("m1", ["*"]);
    rig.acknowledged(&publisher, "m1", 1).await;
    for subscriber in &mut subscribers {
        let line = subscriber
            .line("the event", |line| {
                line.starts_with("changeover/c/m1/_all ")
            })
            .await;
        assert!(line.contains(r#""data":{"n":1.10}}"#), "{line}");
    }
    for version in VERSIONS {
        let mut late = broker.subscribe(version, "changeover/m/+").await;
        late.line("the retained message", |line| {
            line.starts_with("changeover/m/m1 ")
        })
        .await;
    }
    publisher.stop().await;
    broker.stop().await;
}

#[tokio::test]
async fn nobody_poses_as_the_gateway() {
    let broker = Serving::start(0).await;
    for version in VERSIONS {
        let forged: [&[&str]; 4] = [
            &["-u", GATEWAY_USER],
            &["-u", GATEWAY_USER, "-P", "wrong"],
            &["-i", CLIENT_ID],
            &["-i", CLIENT_ID, "-u", "x", "-P", "y"],
        ];
        for args in forged {
            let (success, said) = broker
                .publish(version, &[args, &["-t", "changeover/x"]].concat())
                .await;
            assert!(!success, "{version} {args:?}: {said}");
        }
        let (user, password) = broker.login.credentials();
        let (success, said) = broker
            .publish(version, &["-u", user, "-P", password, "-t", "other"])
            .await;
        assert!(success, "{version}: {said}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_port_in_use_names_the_key_to_change() {
    let login = GatewayLogin::random(CLIENT_ID);
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mqtt = Addresses {
        mqtt: address,
        websocket: None,
    };
    let websocket = Addresses {
        mqtt: free,
        websocket: Some(address),
    };
    for (addresses, key) in [
        (mqtt, "mqtt.targets.url"),
        (websocket, "mqtt.targets.websocket"),
    ] {
        let error = EmbeddedBroker::bind(
            &Broker::default(),
            addresses,
            &login,
            None,
            Arc::new(Census::nobodys()),
        )
        .err()
        .unwrap();
        assert!(error.to_string().starts_with(key), "{error}");
    }
}

#[tokio::test]
async fn websocket_answers_a_handshake() {
    let broker = Serving::start(0).await;
    let address = broker.addresses.websocket.unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within("an answer", PATIENCE, socket.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    drop(socket);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_and_starts_on_the_same_port_and_nothing_is_skipped() {
    const SLICE: u64 = 2_000;
    let port = free_port();
    let mut broker = Serving::start(port).await;
    let mut rig = broker.rig();
    let url = format!("mqtt://127.0.0.1:{port}");
    let follower = Follower::start(&url, Protocol::V5, "follower", &["changeover/c/m1/+"]);
    follower.subscribed().await;
    let publisher = rig.start();
    for round in 0..5_u64 {
        rig.append(
            "m1",
            std::iter::repeat_n("*", usize::try_from(SLICE).unwrap()),
        );
        rig.acknowledged(&publisher, "m1", round * SLICE + SLICE / 3)
            .await;
        let login = broker.login.clone();
        broker.stop().await;
        broker = Serving::start_for(port, login).await;
    }
    rig.acknowledged(&publisher, "m1", 5 * SLICE).await;
    follower
        .wait("the last", |record| {
            record.events.iter().rev().any(|e| e.position == 5 * SLICE)
        })
        .await;
    publisher.stop().await;
    let record = follower.record();
    let distinct: std::collections::BTreeSet<_> =
        record.events.iter().map(|e| e.position).collect();
    println!(
        "{} of {} came, {} twice",
        distinct.len(),
        5 * SLICE,
        record.events.len() - distinct.len()
    );
    let mut held = 0;
    for event in &record.events {
        if event.position > held {
            assert!(event.previous >= held, "{event:?} after {held}");
            held = event.position;
        }
    }
    let module = "m1".parse().unwrap();
    eventually("the cursor", PATIENCE, async || {
        rig.store
            .cursor(&module)
            .filter(|c| c.cursor.position.get() == 5 * SLICE)
    })
    .await;
    drop(follower);
    broker.stop().await;
}

/// Run it alone, `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn how_fast_the_embedded_broker_is() {
    const CHANGES: u32 = 50_000;
    let broker = Serving::start(0).await;
    let bounds = changeover::config::tail::Tail {
        changes: 100_000,
        bytes: 1 << 30,
        ..Default::default()
    };
    let url = format!("mqtt://{}", broker.addresses.mqtt);
    let mut rig = Rig::with_tail(&url, Protocol::V5, &["m1"], &bounds);
    let (user, password) = broker.login.credentials();
    rig.target.endpoint = rig.target.endpoint.with_login(user, password);
    let follower = Follower::start(&url, Protocol::V5, "f", &["changeover/c/m1/+"]);
    follower.subscribed().await;
    rig.append("m1", ["*"]);
    let publisher = rig.start();
    rig.acknowledged(&publisher, "m1", 1).await;
    rig.append("m1", std::iter::repeat_n("u1", CHANGES as usize));
    let began = std::time::Instant::now();
    let all = 1 + u64::from(CHANGES);
    rig.acknowledged(&publisher, "m1", all).await;
    let rate = f64::from(CHANGES) / began.elapsed().as_secs_f64();
    println!(
        "{rate:.0} changes/s to PUBACK; one subscriber has {}",
        follower.look(|r| r.events.len())
    );
    follower
        .wait("everything", |record| record.events.len() as u64 == all)
        .await;
    publisher.stop().await;
    drop(follower);
    broker.stop().await;
}
