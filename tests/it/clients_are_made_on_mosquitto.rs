//! `credentials = "dynsec"`: the gateway makes a client on Mosquitto for each session, which reads its own channels and nothing else, and removes it at its
//! end, whichever replica has made it.

use std::collections::HashSet;

use changeover::{config::mqtt::Protocol, identity::passes::Issued, mirror::mqtt::Grant};
use http::StatusCode;
use serde_json::json;

use crate::support::{
    callers::{self, Credential},
    database::{DatabaseUnderTest, Kind},
    dynsec::{self, Dynsec, credentials, enters_with, session, setup},
    eventually,
    gateway::{Client, InProcess, MODULE, Program, START},
    lasting_port,
    metrics::metric,
    passes::Entering,
    servers_are_skipped,
};

const VERSIONS: [Protocol; 2] = [Protocol::V5, Protocol::V311];

async fn sqlite() -> DatabaseUnderTest {
    DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap()
}

fn open(
    broker: &Dynsec,
    version: Protocol,
    (client_id, with): (&str, Option<&Issued>),
) -> Entering {
    Entering::open(&broker.broker.url(), version, client_id, with)
}

async fn until_clients(broker: &Dynsec, what: &str, done: impl Fn(&[String]) -> bool) {
    eventually(what, START, async || done(&broker.clients()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_reads_its_own_channel_and_no_other() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let gateway = InProcess::start(&setup(&database, "gw-1", &broker.target())).await;
    let client = &gateway.client;
    eventually("the mirror is let in", START, async || {
        (client.module().await["targets"][0]["connected"] == true).then_some(())
    })
    .await;
    for (n, version) in VERSIONS.into_iter().enumerate() {
        let told = session(client, &format!("t{n}"), "u1").await;
        let (id, with) = credentials(&told).unwrap();
        let topics = told["modules"][MODULE]["topics"].as_array().unwrap();
        let topics: Vec<_> = topics.iter().map(|topic| topic.as_str().unwrap()).collect();
        assert!(topics.contains(&"changeover/c/commission/u1"), "{topics:?}");
        assert!(topics.contains(&"changeover/m/commission"), "{topics:?}");

        let mut terminal = open(&broker, version, (&id, Some(&with)));
        assert!(terminal.is_let_in().await.is_some(), "{version:?}");
        assert_eq!(terminal.subscribe(&topics).await, Some(Grant::AtLeastOnce));
        for other in [
            "changeover/c/commission/u2",
            "changeover/c/commission/u10",
            "changeover/c/commission/+",
            "changeover/c/commission/#",
            "changeover/c/other/u1",
            "changeover/m/+",
            "#",
            "+/+/+/+",
            "$SYS/#",
            "$CONTROL/dynamic-security/v1/response",
            "$share/g/changeover/c/commission/u1",
            "$share/g/changeover/c/commission/u2",
            "$share/g/#",
        ] {
            let granted = terminal.subscribe(&[other]).await;
            assert_eq!(granted, Some(Grant::Refused), "{version:?} {other}");
        }

        // What it says reaches nobody.
        for topic in [
            "changeover/c/commission/u1",
            "changeover/m/commission",
            "$CONTROL/dynamic-security/v1",
        ] {
            terminal.publish(topic, "forged");
        }
        let key = json!({"key": "k", "audience": "u2", "value": "another's"});
        client.ingest(&key).await;
        let key = json!({"key": "k", "audience": "u1", "value": format!("own {n}")});
        client.ingest(&key).await;
        loop {
            let (topic, payload) = terminal.message().await;
            assert!(!payload.contains("forged"), "{topic}");
            assert!(!topic.ends_with("/u2"), "{topic}");
            if payload.contains(&format!("own {n}")) {
                assert_eq!(topic, "changeover/c/commission/u1");
                break;
            }
        }
        terminal.close().await;

        // Nobody else enters with it.
        let stranger = format!("{id}x");
        let mut wrong_id = open(&broker, version, (&stranger, Some(&with)));
        assert_eq!(wrong_id.is_let_in().await, None);
        let password = with.password.to_lowercase();
        let wrong = Issued { password, ..with };
        let mut wrong = open(&broker, version, (&id, Some(&wrong)));
        assert_eq!(wrong.is_let_in().await, None);
        let mut nobody = open(&broker, version, (&id, None));
        assert_eq!(nobody.is_let_in().await, None);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_end_ends_the_connection_and_leaves_nothing() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let setup = setup(&database, "gw-1", &broker.target())
        .set("session.lifetime_ms", 4_000)
        .set("dynsec.survey", "1s");
    let gateway = Program::start(&setup).await;
    let (id, with) = enters_with(&gateway.client, "t1", "u1").await;
    let mut terminal = open(&broker, Protocol::V5, (&id, Some(&with)));
    assert!(terminal.is_let_in().await.is_some());
    // The next session of its time gets another user and the same MQTT session, and disturbs nobody.
    let renewed = eventually("another user", START, async || {
        let (same_id, renewed) = enters_with(&gateway.client, "t1", "u1").await;
        assert_eq!(same_id, id);
        (renewed != with).then_some(renewed)
    })
    .await;
    assert_eq!(
        terminal.subscribe(&["changeover/c/commission/u1"]).await,
        Some(Grant::AtLeastOnce)
    );
    terminal.ended().await;
    let mut again = open(&broker, Protocol::V5, (&id, Some(&renewed)));
    assert_eq!(again.is_let_in().await, Some(true), "its session was kept");
    again.ended().await;
    let mut late = open(&broker, Protocol::V5, (&id, Some(&with)));
    assert_eq!(late.is_let_in().await, None);
    until_clients(&broker, "no client is left", <[String]>::is_empty).await;
    eventually("no role is left", START, async || {
        broker.roles().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_with_the_token_of_its_caller() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let setup = setup(&database, "gw-1", &broker.target()).add(&callers::auth());
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let ask = async |token: &Credential| {
        let asked = client.http.post(format!("{}/v1/session", client.public));
        let asked = token.on(asked.json(&json!({"client_id": "u1"})));
        client.send(asked).await.json()
    };
    let short = Credential::until("u1", 8);
    let (id, with) = credentials(&ask(&short).await).unwrap();
    let mut terminal = open(&broker, Protocol::V5, (&id, Some(&with)));
    assert!(terminal.is_let_in().await.is_some());
    let (_, longer) = credentials(&ask(&Credential::until("u1", 600)).await).unwrap();
    assert_ne!(longer, with);
    terminal.ended().await;
    until_clients(&broker, "the longer one alone", |clients| {
        clients == [longer.username.clone()]
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_has_lost_is_made_again() {
    if servers_are_skipped() {
        return;
    }
    let (mut broker, database) = (Dynsec::start(), sqlite().await);
    let gateway = InProcess::start(&setup(&database, "gw-1", &broker.target())).await;
    let client = &gateway.client;
    let (id, with) = enters_with(client, "t1", "u1").await;

    broker.broker.stop();
    broker.broker.restart();
    let mut kept = open(&broker, Protocol::V5, (&id, Some(&with)));
    assert!(kept.is_let_in().await.is_some(), "its file has it");
    let (_, same) = enters_with(client, "t1", "u1").await;
    assert_eq!(same, with);
    assert_eq!(broker.carried_out("createClient"), 1);

    broker.broker.kill();
    broker.restart_without_clients();
    let mut gone = open(&broker, Protocol::V5, (&id, Some(&with)));
    assert_eq!(gone.is_let_in().await, None);
    // The same one: whoever was told it needs no other.
    let (_, again) = enters_with(client, "t1", "u1").await;
    assert_eq!(again, with);
    eventually("it is let in again", START, async || {
        let mut back = open(&broker, Protocol::V5, (&id, Some(&with)));
        back.is_let_in().await
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_make_the_same_and_remove_each_others() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let replica = |name: &str| {
        setup(&database, name, &broker.target())
            .unmoved()
            .set("session.lifetime_ms", 60_000)
    };
    let one = InProcess::start(&replica("gw-1")).await;
    let mut two = Program::start(&replica("gw-2")).await;
    let (of_one, of_two) = tokio::join!(
        enters_with(&one.client, "t1", "u1"),
        enters_with(&two.client, "t1", "u1")
    );
    // A beat may have passed between the two.
    let (of_one, of_two) = if of_one == of_two {
        (of_one, of_two)
    } else {
        tokio::join!(
            enters_with(&one.client, "t1", "u1"),
            enters_with(&two.client, "t1", "u1")
        )
    };
    assert_eq!(of_one, of_two);
    one.stop().await;
    two.kill();

    // One that dies leaves what another one removes, before that has made anything itself.
    let short = setup(&database, "gw-3", &broker.target()).set("session.lifetime_ms", 1_000);
    let mut dies = Program::start(&short).await;
    let (_, left) = enters_with(&dies.client, "t3", "u3").await;
    dies.kill();
    assert!(broker.clients().contains(&left.username));
    let other = InProcess::start(&replica("gw-4")).await;
    until_clients(&broker, "what it left is gone", |clients| {
        !clients.contains(&left.username)
    })
    .await;
    let kept = broker.clients();
    assert!(kept.contains(&of_one.1.username), "not ended: {kept:?}");
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_ask_the_broker_little() {
    const CLIENTS: usize = 500;
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let setup = setup(&database, "gw-1", &broker.target())
        .set("session.lifetime_ms", 86_400_000)
        // They have one address, and wait all at once.
        .set("dynsec.max_clients_per_address", 10_000);
    let mut gateway = Program::start(&setup).await;
    for _ in 0..2 {
        let client = &gateway.client;
        let asking = (0..CLIENTS).map(|n| {
            let (name, audience) = (format!("t{n}"), format!("u{}", n % 10));
            async move { enters_with(client, &name, &audience).await.1.username }
        });
        let names = futures_util::future::join_all(asking).await;
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), CLIENTS);
        // The second time nothing is asked at all. Ten audiences have a role each, and everyone.
        assert_eq!(commands(client, "createClient").await, CLIENTS.to_string());
        assert_eq!(commands(client, "createRole").await, "11");
    }
    // Many that are one.
    let same = (0..50).map(|_| enters_with(&gateway.client, "same", "u1"));
    let same = futures_util::future::join_all(same).await;
    assert!(same.iter().all(|one| *one == same[0]));
    let made = commands(&gateway.client, "createClient").await;
    assert_eq!(made, (CLIENTS + 1).to_string());
    // A restarted gateway asks what there is, and makes nothing anew.
    gateway.kill();
    gateway.restart().await;
    enters_with(&gateway.client, "t7", "u7").await;
    assert_eq!(commands(&gateway.client, "createClient").await, "0");
    assert_eq!(broker.clients().len(), CLIENTS + 1);
}

/// How many of a kind the broker was given, whatever came of them.
async fn commands(client: &Client, command: &str) -> String {
    let labels = [("command", command)];
    let counted = metric(client, "changeover_dynsec_commands_total", &labels).await;
    // Of no series at all the sum is -0.
    counted.abs().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_sessions_tell_to_poll() {
    if servers_are_skipped() {
        return;
    }
    let (mut broker, database) = (Dynsec::start(), sqlite().await);
    let setup = setup(&database, "gw-1", &broker.target())
        .set("dynsec.wait_ms", 500)
        .set("dynsec.timeout_ms", 1_000);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let ramp = json!({"percent": 100, "reason": "all"});
    let path = format!("/admin/v1/modules/{MODULE}/ramp");
    let answer = client.post(&path, &ramp).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let pushed = async |client_id: &str| {
        eventually("it is told to push", START, async || {
            let told = session(client, client_id, "u1").await;
            let is_push = told["modules"][MODULE]["transport"] == "push";
            (is_push && credentials(&told).is_some()).then_some(())
        })
        .await;
    };
    pushed("t1").await;

    // It stands still, so that nobody notices at once.
    broker.broker.pause();
    polls(client, "t2").await;
    broker.broker.resume();
    pushed("t2").await;
    broker.broker.kill();
    polls(client, "t3").await;
    broker.broker.restart();
    pushed("t3").await;
    gateway.stop().await;
}

/// The session is answered, and says how to go on without the broker.
async fn polls(client: &Client, client_id: &str) {
    let told = eventually("it is told to poll", START, async || {
        let told = session(client, client_id, "u1").await;
        credentials(&told).is_none().then_some(told)
    })
    .await;
    let module = &told["modules"][MODULE];
    assert_eq!(module["transport"], "poll", "{told}");
    assert_eq!(module["reason"], "broker-unready", "{told}");
    assert!(told["next_session_ms"].as_u64().unwrap() <= 30_000);
    client.ingest(&json!({"key": client_id, "value": 1})).await;
    client.items(0, 1, START).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_made_where_the_defaults_let_too_much_through() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start_with(true), sqlite().await);
    let setup = setup(&database, "gw-1", &broker.target()).set("dynsec.wait_ms", 500);
    let program = Program::start(&setup).await;
    let client = &program.client;
    let said = "clients cannot be made on this broker: sessions tell them to poll";
    let line = eventually("it says so", START, async || program.said(said)).await;
    let trouble = line["trouble"].as_str().unwrap();
    assert!(trouble.contains("publishClientReceive"), "{trouble}");
    assert!(credentials(&session(client, "t1", "u1").await).is_none());
    assert_eq!(broker.carried_out("createClient"), 0);
    let told = async || {
        let targets = client.get("/admin/v1/targets").await.json();
        targets["targets"][0]["trouble"].as_str().map(str::to_owned)
    };
    let is_said = |trouble: &String| trouble.contains("publishClientReceive");
    eventually("the target tells it", START, async || {
        told().await.filter(is_said)
    })
    .await;
    // Whoever would send clients there is told.
    let path = format!("/admin/v1/modules/{MODULE}/gates");
    let caveats = async || {
        let gate = client.post(&path, &json!({"step": "ramp"})).await;
        gate.json()["caveats"].clone()
    };
    eventually("the gate tells it", START, async || {
        let caveat = caveats().await[0].as_str()?.to_owned();
        (caveat.starts_with("target ") && is_said(&caveat)).then_some(())
    })
    .await;
    broker.deny("publishClientReceive");
    eventually("clients are made", START, async || {
        credentials(&session(client, "t1", "u1").await)
    })
    .await;
    assert_eq!(told().await, None);
    eventually("the gate has nothing to tell", START, async || {
        (caveats().await == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_made_than_may_be() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let setup = setup(&database, "gw-1", &broker.target())
        .set("dynsec.max_clients", 2)
        .set("session.lifetime_ms", 86_400_000);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    for n in 0..2 {
        enters_with(client, &format!("t{n}"), "u1").await;
    }
    assert!(credentials(&session(client, "t2", "u1").await).is_none());
    assert!(credentials(&session(client, "t1", "u1").await).is_some());
    assert_eq!(broker.clients().len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_without_its_broker() {
    let database = sqlite().await;
    let target = dynsec::target(lasting_port());
    let setup = setup(&database, "gw-1", &target).set("dynsec.wait_ms", 100);
    let gateway = InProcess::start(&setup).await;
    polls(&gateway.client, "t1").await;
    gateway.stop().await;
}
