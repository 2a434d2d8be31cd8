//! What the verifier says of brokers that do what they should not. On MQTT 3.1.1 Mosquitto acknowledges a publish that its access
//! list forbids, and drops it: the mirror cannot see that. Here it forbids the mirror all of a module's channels, and
//! the test delivers the events itself, as it likes.

use std::{sync::Arc, time::Duration};

use changeover::{
    config::{mqtt::Protocol, tail, verifier},
    domain::{Change, JsonText, Position},
    log::TailRead,
    mirror::{ModuleVerification, Outcome},
};

use crate::support::{
    mirror_rig::{Rig, Running},
    mosquitto::Mosquitto,
    verifying::{Forger, Verifying, settled},
};

/// The mirror enters as this user.
const ACL: &str = "\
topic readwrite #
user mirror
topic read changeover/#
topic write changeover/m/#
topic write changeover/c/open/#
topic write changeover/c/half/u1
";

fn broker() -> Mosquitto {
    let lines = "allow_anonymous true\nacl_file {dir}/acl\nmax_queued_messages 0\nmax_inflight_messages 1000\n";
    Mosquitto::start_with_files(lines, &[("acl", ACL)])
}

/// The mirror's way into the broker.
fn entered(broker: &Mosquitto) -> String {
    broker.url().replace("mqtt://", "mqtt://mirror:x@")
}

/// Nothing is late, and what is missing is found soon.
fn settings() -> verifier::Verifier {
    verifier::Verifier {
        late_ms: 600_000,
        missing_after_ms: 500,
        ..verifier::Verifier::default()
    }
}

/// Long enough for a slow machine.
fn patient() -> verifier::Verifier {
    verifier::Verifier {
        missing_after_ms: 30_000,
        ..settings()
    }
}

struct Scene {
    broker: Mosquitto,
    rig: Rig,
    running: Running,
    verifying: Verifying,
}

/// A mirror of these modules with its verifier.
async fn scene(settings: &verifier::Verifier, modules: &[&str]) -> Scene {
    let broker = broker();
    let rig = Rig::new(&entered(&broker), Protocol::V311, modules);
    let running = rig.start();
    let verifying = rig.verify(&running, settings, modules).await;
    Scene {
        broker,
        rig,
        running,
        verifying,
    }
}

impl Scene {
    /// Appends changes, which the mirror publishes and the broker acknowledges.
    async fn append<'a>(
        &mut self,
        module: &str,
        audiences: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Arc<Change>> {
        self.rig.append(module, audiences);
        let name = module.parse().unwrap();
        let edge = self.rig.tail.edge(&name).unwrap();
        self.rig
            .acknowledged(&self.running, module, edge.last.get())
            .await;
        let all = self.rig.tail.read_all(&name, edge.covers_after, usize::MAX);
        match all {
            Some(TailRead::Found { changes, .. }) => changes,
            other => panic!("{other:?}"),
        }
    }

    async fn end(self) {
        self.running.stop().await;
        self.verifying.stop().await;
    }
}

fn altered(change: &Change, alter: impl FnOnce(&mut Change)) -> Change {
    let mut altered = change.clone();
    alter(&mut altered);
    altered
}

fn problem(found: &ModuleVerification) -> (Outcome, Option<u64>) {
    let problem = found.last_problem.as_ref().expect("a problem");
    (problem.outcome, problem.position.map(Position::get))
}

#[tokio::test]
async fn a_broker_that_delivers_gets_only_ok() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = broker();
        let modules = ["open", "other"];
        let mut rig = Rig::new(&broker.url(), protocol, &modules);
        let running = rig.start();
        let verifying = rig.verify(&running, &patient(), &modules).await;
        for _ in 0..10 {
            rig.append(
                "open",
                std::iter::repeat_n(["*", "u1", "a/b"], 100).flatten(),
            );
            rig.append("other", ["*"]);
        }
        verifying.reaches("open", Outcome::Ok, 3_000).await;
        verifying.reaches("other", Outcome::Ok, 10).await;
        for module in modules {
            let found = verifying.found(module).unwrap();
            assert_eq!(settled(&found), found.count(Outcome::Ok), "{found:?}");
            assert_eq!(found.counts.iter().sum::<u64>(), settled(&found));
            assert_eq!(found.last_problem, None);
            println!("{protocol:?} {module}: {:?}", found.counts);
        }
        running.stop().await;
        verifying.stop().await;
    }
}

#[tokio::test]
async fn what_is_acknowledged_and_dropped_is_missing() {
    let mut scene = scene(&settings(), &["half", "open"]).await;
    scene.append("open", ["*", "*"]).await;
    scene.append("half", ["u1", "u2", "u1", "u2", "u2"]).await;
    let verifying = &scene.verifying;
    verifying.reaches("half", Outcome::Missing, 3).await;
    verifying.reaches("half", Outcome::Ok, 2).await;
    verifying.reaches("open", Outcome::Ok, 2).await;
    let found = verifying.found("half").unwrap();
    println!("half: {found:?}");
    assert_eq!(problem(&found).0, Outcome::Missing);
    assert_eq!(verifying.count("open", Outcome::Missing), 0);
    scene.end().await;
}

#[tokio::test]
async fn what_comes_after_it_was_missed_is_late() {
    let mut scene = scene(&settings(), &["m"]).await;
    let changes = scene.append("m", ["*"]).await;
    scene.verifying.reaches("m", Outcome::Missing, 1).await;
    let mut forger = Forger::connect(&scene.broker.url()).await;
    forger.deliver("m", &changes[0]).await;
    scene.verifying.reaches("m", Outcome::Late, 1).await;
    assert_eq!(scene.verifying.count("m", Outcome::Ok), 0);
    scene.end().await;
}

#[tokio::test]
async fn what_took_too_long_is_late() {
    let strict = verifier::Verifier {
        late_ms: 1,
        ..patient()
    };
    let mut scene = scene(&strict, &["m"]).await;
    // The acknowledgement is seen at the publisher's next tick at the earliest.
    let changes = scene.append("m", ["*"]).await;
    let mut forger = Forger::connect(&scene.broker.url()).await;
    forger.deliver("m", &changes[0]).await;
    scene.verifying.reaches("m", Outcome::Late, 1).await;
    let found = scene.verifying.found("m").unwrap();
    assert_eq!(problem(&found), (Outcome::Late, Some(1)));
    scene.end().await;
}

#[tokio::test]
async fn an_order_that_is_not_the_logs_is_seen_per_channel() {
    let mut scene = scene(&patient(), &["m"]).await;
    let changes = scene.append("m", ["*", "u1", "*", "u1"]).await;
    let mut forger = Forger::connect(&scene.broker.url()).await;
    // Position 2 is of another channel than 1 and 3, and may come at any time.
    for at in [2, 0, 1, 3] {
        forger.deliver("m", &changes[at]).await;
    }
    let verifying = &scene.verifying;
    verifying.reaches("m", Outcome::Ok, 3).await;
    verifying.reaches("m", Outcome::Reordered, 1).await;
    let found = verifying.found("m").unwrap();
    assert_eq!(problem(&found), (Outcome::Reordered, Some(1)));
    scene.end().await;
}

#[tokio::test]
async fn a_wrong_predecessor_is_told() {
    let mut scene = scene(&patient(), &["m"]).await;
    let changes = scene.append("m", ["*", "*"]).await;
    let mut forger = Forger::connect(&scene.broker.url()).await;
    forger.deliver("m", &changes[0]).await;
    let wrong = altered(&changes[1], |change| change.previous = Position::ZERO);
    forger.deliver("m", &wrong).await;
    scene.verifying.reaches("m", Outcome::Previous, 1).await;
    scene.verifying.reaches("m", Outcome::Ok, 1).await;
    let found = scene.verifying.found("m").unwrap();
    assert_eq!(problem(&found), (Outcome::Previous, Some(2)));
    scene.end().await;
}

#[tokio::test]
async fn what_the_log_does_not_hold_is_foreign() {
    let mut scene = scene(&settings(), &["m"]).await;
    let changes = scene.append("m", ["*"]).await;
    let mut forger = Forger::connect(&scene.broker.url()).await;
    forger.deliver("m", &changes[0]).await;
    scene.verifying.reaches("m", Outcome::Ok, 1).await;
    let other_value = altered(&changes[0], |c| c.value = JsonText::stored("2"));
    forger.deliver("m", &other_value).await;
    scene.verifying.reaches("m", Outcome::Foreign, 1).await;
    let other_key = altered(&changes[0], |c| c.key = "forged".into());
    forger.deliver("m", &other_key).await;
    scene.verifying.reaches("m", Outcome::Foreign, 2).await;
    forger.publish("changeover/c/m/_all", "no event").await;
    scene.verifying.reaches("m", Outcome::Foreign, 3).await;
    let found = scene.verifying.found("m").unwrap();
    assert_eq!(problem(&found), (Outcome::Foreign, None));
    let beyond = altered(&changes[0], |c| c.position = Position::new(99));
    forger.deliver("m", &beyond).await;
    scene.verifying.reaches("m", Outcome::Foreign, 4).await;
    let found = scene.verifying.found("m").unwrap();
    assert_eq!(problem(&found), (Outcome::Foreign, Some(99)));
    // To other topics everybody may publish what he likes.
    forger.publish("changeover/c/nobodys/_all", "x").await;
    forger.deliver("m", &changes[0]).await;
    scene.verifying.reaches("m", Outcome::Duplicate, 1).await;
    assert_eq!(scene.verifying.count("m", Outcome::Foreign), 4);
    scene.end().await;
}

#[tokio::test]
async fn a_repeat_that_the_mirror_had_no_reason_for_is_a_problem() {
    let mut scene = scene(&settings(), &["open"]).await;
    let mut forger = Forger::connect(&scene.broker.url()).await;
    let mut repeats = 0;
    // Soon after the mirror has begun it may send again what another replica has sent.
    crate::support::eventually("a repeat that nothing explains", PATIENCE, async || {
        let changes = scene.append("open", ["*"]).await;
        forger.deliver("open", changes.last().unwrap()).await;
        repeats += 1;
        let found = scene.verifying.found("open").unwrap();
        found.last_problem
    })
    .await;
    scene.verifying.reaches("open", Outcome::Ok, repeats).await;
    let verifying = &scene.verifying;
    verifying.reaches("open", Outcome::Duplicate, repeats).await;
    let found = scene.verifying.found("open").unwrap();
    println!("{found:?}");
    assert_eq!(problem(&found).0, Outcome::Duplicate);
    scene.end().await;
}

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_the_tail_no_longer_holds_is_not_judged() {
    let broker = broker();
    let bounds = tail::Tail {
        changes: 10,
        ..tail::Tail::default()
    };
    let mut rig = Rig::with_tail(&broker.url(), Protocol::V5, &["open"], &bounds);
    let running = rig.start();
    let verifying = rig.verify(&running, &settings(), &["open"]).await;
    rig.append("open", std::iter::repeat_n("*", 5_000));
    rig.acknowledged(&running, "open", 5_000).await;
    let found = verifying.settles("open", 5_000).await;
    rig.append("open", ["*"]);
    let found_later = verifying.settles("open", 5_001).await;
    println!("{:?}, then {:?}", found.counts, found_later.counts);
    assert!(found.count(Outcome::Unobserved) > 0);
    assert_eq!(
        found.count(Outcome::Ok) + found.count(Outcome::Unobserved),
        5_000
    );
    assert_eq!(found_later.last_problem, None);
    running.stop().await;
    verifying.stop().await;
}

#[tokio::test]
async fn a_lease_that_goes_and_comes_leaves_nothing_false() {
    let mut scene = scene(&settings(), &["open"]).await;
    for token in 1..=5 {
        scene.append("open", std::iter::repeat_n("*", 200)).await;
        scene.rig.unlead("open", token);
        let name = "open".parse().unwrap();
        crate::support::eventually("the lane closes", PATIENCE, async || {
            let gone = scene.running.status.module(&name).is_none();
            gone.then_some(())
        })
        .await;
        scene.rig.append("open", std::iter::repeat_n("*", 50));
        scene.rig.lead("open", token + 1);
    }
    let watched = scene.verifying.count("open", Outcome::Ok);
    crate::support::eventually("it goes on", PATIENCE, async || {
        scene.append("open", ["*"]).await;
        (scene.verifying.count("open", Outcome::Ok) > watched).then_some(())
    })
    .await;
    let found = scene.verifying.found("open").unwrap();
    println!("{:?}", found.counts);
    // What was on its way when the lease went is nobody's.
    assert!(watched > 0, "{found:?}");
    let fine = [Outcome::Ok, Outcome::Unobserved, Outcome::Duplicate];
    let fine: u64 = fine.iter().map(|outcome| found.count(*outcome)).sum();
    assert_eq!(found.counts.iter().sum::<u64>(), fine, "{found:?}");
    assert_eq!(found.last_problem, None);
    scene.end().await;
}

#[tokio::test]
async fn above_its_rate_it_compares_a_share_of_the_channels() {
    let slow = verifier::Verifier {
        rate: 100,
        ..settings()
    };
    let mut scene = scene(&slow, &["open"]).await;
    let audiences: Vec<String> = (0..64).map(|n| format!("u{n}")).collect();
    let mut appended = 0_u64;
    let mut least: f64 = 1.0;
    crate::support::eventually("a share", PATIENCE, async || {
        let audiences = audiences.iter().map(String::as_str);
        scene.append("open", audiences.cycle().take(640)).await;
        appended += 640;
        least = least.min(scene.verifying.share());
        (least <= 0.25).then_some(())
    })
    .await;
    // It takes a second per step to rise again.
    let same = audiences.iter().map(String::as_str).cycle().take(640);
    scene.append("open", same).await;
    appended += 640;
    crate::support::eventually("all of the channels again", PATIENCE, async || {
        (scene.verifying.share() >= 1.0).then_some(())
    })
    .await;
    let audiences = audiences.iter().map(String::as_str);
    let before = scene.verifying.count("open", Outcome::Ok);
    scene.append("open", audiences).await;
    scene
        .verifying
        .reaches("open", Outcome::Ok, before + 64)
        .await;
    let found = scene.verifying.found("open").unwrap();
    println!(
        "{appended} and 64 changes, share {least}: {:?}",
        found.counts
    );
    assert_eq!(settled(&found), found.count(Outcome::Ok), "{found:?}");
    assert!(settled(&found) < appended, "a part was not compared");
    assert_eq!(found.last_problem, None);
    scene.end().await;
}
