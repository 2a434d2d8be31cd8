//! Strangers beside callers of a legacy back end: what they send costs nobody else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    NOW_S,
    forward::{backend, knows, sid},
    keys::{SECRET, Signer},
    server::{Reply, status},
    told,
};
use crate::identity::{Accepted, Identity};

/// Waits until the back end was asked so often.
async fn until_asked(server: &super::server::Server, times: usize) {
    let began = Instant::now();
    while server.asked() < times {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{}",
            server.asked()
        );
        tokio::task::yield_now().await;
    }
}

async fn is(identity: &Identity, user: &str, from: &str, wanted: &str) {
    let who = told(&sid(user).from(from).of(identity).await);
    assert_eq!(who, wanted, "{user} from {from}");
}

/// Never answers for some.
fn slowly(head: &str) -> Reply {
    if head.contains("sid=slow") {
        return Reply::Silence;
    }
    knows(head)
}

/// Fails for some.
fn badly(head: &str) -> Reply {
    if head.contains("sid=bad") {
        return status("500 Oops");
    }
    knows(head)
}

const HOME: &str = "192.0.2.1";
const STRANGE: &str = "198.51.100.1";

#[tokio::test]
async fn what_is_too_long_is_refused_unasked() {
    let (server, identity, _) = backend("max_credential_bytes = 200").await;
    let long = format!("u{}", "x".repeat(200));
    for _ in 0..20 {
        is(&identity, &long, STRANGE, "not_accepted").await;
    }
    assert_eq!(server.asked(), 0);
    is(&identity, "u1", STRANGE, "forward:u1 [u1]").await;
    // All of it counts together.
    let beside = sid("u1").with("x-legacy", &"x".repeat(199));
    assert_eq!(told(&beside.of(&identity).await), "not_accepted");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_header_that_stands_there_twice_is_refused_unasked() {
    let (server, identity, _) = backend("").await;
    let twice = sid("u1").with("x-legacy", "a").with("x-legacy", "b");
    assert_eq!(told(&twice.of(&identity).await), "not_accepted");
    assert_eq!(server.asked(), 0);
}

/// One address takes all the places that it may, with credentials on which the back end is silent.
#[tokio::test]
async fn one_address_takes_no_more_places_than_its_share() {
    let more = "max_concurrent = 8\nmax_concurrent_per_address = 2\nstale_for = \"0s\"";
    let (server, identity, clock) = backend(more).await;
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    server.answer(slowly);
    let identity = Arc::new(identity);
    let ask = |n: usize| {
        let identity = Arc::clone(&identity);
        tokio::spawn(
            async move { told(&sid(&format!("slow{n}")).from(STRANGE).of(&identity).await) },
        )
    };
    let slow: Vec<_> = (0..30).map(ask).collect();
    until_asked(&server, 3).await;
    // Neither who was right before nor who comes for the first time from elsewhere waits.
    clock.forward(Duration::from_mins(1));
    let began = Instant::now();
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    is(&identity, "u2", "192.0.2.7", "forward:u2 [u2]").await;
    assert!(
        began.elapsed() < Duration::from_millis(250),
        "{:?}",
        began.elapsed()
    );
    for one in slow {
        assert_eq!(one.await.unwrap(), "unavailable");
    }
    // And none of it is an outage.
    is(&identity, "u3", "192.0.2.8", "forward:u3 [u3]").await;
}

#[tokio::test]
async fn strangers_from_everywhere_leave_places_to_callers() {
    let (server, identity, clock) = backend("max_concurrent = 4\nttl = \"1s\"").await;
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    server.answer(slowly);
    let identity = Arc::new(identity);
    let ask = |n: usize| {
        let identity = Arc::clone(&identity);
        let from = format!("198.51.100.{n}");
        tokio::spawn(async move { told(&sid(&format!("slow{n}")).from(&from).of(&identity).await) })
    };
    let slow: Vec<_> = (0..6).map(ask).collect();
    until_asked(&server, 4).await;
    clock.forward(Duration::from_secs(1));
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    assert_eq!(
        server.asked(),
        5,
        "it was asked about, beside three of them"
    );
    for one in slow {
        assert_eq!(one.await.unwrap(), "unavailable");
    }
}

/// As many credentials on which the back end fails as one likes.
#[tokio::test]
async fn a_stranger_makes_no_outage() {
    let (server, identity, clock) = backend("").await;
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    server.answer(badly);
    for n in 0..20 {
        is(&identity, &format!("bad{n}"), STRANGE, "unavailable").await;
    }
    is(&identity, "u2", HOME, "forward:u2 [u2]").await;
    // From many addresses it is one, which the first caller that is asked about ends.
    for n in 1..20 {
        is(
            &identity,
            &format!("bad{n}"),
            &format!("198.51.100.{n}"),
            "unavailable",
        )
        .await;
    }
    is(&identity, "u3", HOME, "unavailable").await;
    clock.forward(Duration::from_mins(1));
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    is(&identity, "u3", HOME, "forward:u3 [u3]").await;
}

/// Ten of them stand beside one that comes for the first time, behind one router.
#[tokio::test]
async fn ended_sessions_lock_nobody_out() {
    let (server, identity, clock) = backend("").await;
    for n in 0..12 {
        let user = format!("u{n}");
        is(&identity, &user, HOME, &format!("forward:{user} [{user}]")).await;
    }
    clock.forward(Duration::from_mins(1));
    server.answer(|_| status("401 Unauthorized"));
    for n in 0..12 {
        is(&identity, &format!("u{n}"), HOME, "not_accepted").await;
    }
    server.answer(knows);
    is(&identity, "u100", HOME, "forward:u100 [u100]").await;
}

/// A gateway that was restarted knows of nobody that he was right once.
#[tokio::test]
async fn a_locked_address_has_a_trickle_and_the_right_ones_open_it() {
    let (server, identity, clock) = backend("").await;
    for n in 0..10 {
        is(&identity, &format!("ended{n}"), HOME, "not_accepted").await;
    }
    is(&identity, "u1", HOME, "too_many").await;
    clock.forward(Duration::from_secs(5));
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    // Its yes is room for one more, and so on.
    for n in 2..30 {
        let user = format!("u{n}");
        is(&identity, &user, HOME, &format!("forward:{user} [{user}]")).await;
    }
    assert_eq!(server.asked(), 10 + 29);
    // The ended ones count once, also after their minute.
    for minute in 0..3 {
        clock.forward(Duration::from_mins(1));
        for n in 0..10 {
            is(&identity, &format!("ended{n}"), HOME, "not_accepted").await;
        }
        let user = format!("u9{minute}");
        is(&identity, &user, HOME, &format!("forward:{user} [{user}]")).await;
    }
}

#[tokio::test]
async fn a_header_that_decides_nothing_is_no_part_of_the_verdict() {
    let server = super::server::Server::start(|head| {
        assert!(head.contains("x-device: d"), "{head}");
        knows(head)
    })
    .await;
    let url = server.url("/check");
    let (identity, _) = super::identity(&format!(
        r#"
        [[auth.callers]]
        kind = "forward"
        check_url = "{url}"
        shows = [{{ in = "cookie", name = "SID" }}, {{ name = "X-Device", decides = false }}]
        audiences = ["{{user}}"]
        client = "{{user}}"
        "#
    ));
    for n in 0..20 {
        let given = sid("u1").with("x-device", &format!("d{n}"));
        assert_eq!(told(&given.of(&identity).await), "forward:u1 [u1]");
    }
    assert_eq!(server.asked(), 1);
    let alone = super::Given::default().with("x-device", "d");
    assert_eq!(told(&alone.of(&identity).await), "missing");
}

/// One caller, who has as many credentials as it likes.
#[tokio::test]
async fn one_caller_pushes_nobody_out() {
    let toml = "auth.max_verdicts = 40\nauth.max_new_verdicts = 5\n";
    let server = super::server::Server::start(knows).await;
    let (identity, clock) =
        super::identity(&format!("{toml}{}", super::forward::toml(&server, "")));
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    for n in 0..200 {
        let given = sid("u2").with("x-legacy", &n.to_string()).from(STRANGE);
        assert_eq!(told(&given.of(&identity).await), "forward:u2 [u2]");
    }
    assert_eq!(server.asked(), 201);
    is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    assert_eq!(server.asked(), 201, "it was remembered");
    // Who is known is asked about again and stays.
    clock.forward(Duration::from_mins(1));
    for _ in 0..3 {
        is(&identity, "u1", HOME, "forward:u1 [u1]").await;
    }
    assert_eq!(server.asked(), 202);
}

#[tokio::test]
async fn what_goes_on_ends_with_good_for() {
    let (_server, identity, clock) = backend("good_for = \"15m\"").await;
    let ends = async |identity: &Identity| {
        let who = sid("u1").of(identity).await.unwrap();
        let (span, now) = (Duration::from_hours(12), crate::domain::Clock::now(&*clock));
        who.bounded(span, || now)
    };
    assert_eq!(ends(&identity).await, Duration::from_mins(15));
    clock.forward(Duration::from_secs(59));
    assert_eq!(ends(&identity).await, Duration::from_secs(15 * 60 - 59));
    clock.forward(Duration::from_secs(1));
    assert_eq!(
        ends(&identity).await,
        Duration::from_mins(15),
        "asked again"
    );
}

/// A back end that is asked about whoever brings no token, or a wrong one.
async fn behind_tokens() -> (super::server::Server, Identity) {
    let server = super::server::Server::start(knows).await;
    let tokens = format!(
        r#"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "HS256"
        secret = "{SECRET}"
        audiences = ["{{sub}}"]
        "#
    );
    let (identity, _) = super::identity(&format!("{tokens}{}", super::forward::toml(&server, "")));
    (server, identity)
}

/// The same garbage for one recognizer, and a new guess for the next each time.
#[tokio::test]
async fn a_guess_counts_beside_what_is_wrong_before_it() {
    let (server, identity) = behind_tokens().await;
    let garbage = |n: usize| sid(&format!("x{n}")).with("authorization", "Bearer garbage");
    for n in 0..40 {
        let wanted = if n < 9 { "not_accepted" } else { "too_many" };
        assert_eq!(told(&garbage(n).of(&identity).await), wanted, "{n}");
    }
    assert_eq!(server.asked(), 9, "the garbage is a wrong try too, once");
}

/// A token that was right once says "expired", and that is told before what is wrong.
#[tokio::test]
async fn a_guess_counts_beside_a_token_that_has_expired() {
    let (server, identity) = behind_tokens().await;
    let said = serde_json::json!({"sub": "u1", "exp": NOW_S - 3_600});
    let token = format!("Bearer {}", Signer::secret(SECRET).sign(&said));
    for n in 0..40 {
        let given = sid(&format!("x{n}")).with("authorization", &token);
        let wanted = if n < 10 { "expired" } else { "too_many" };
        assert_eq!(told(&given.of(&identity).await), wanted, "{n}");
    }
    assert_eq!(server.asked(), 10);
}

/// Somebody whom the module does not take, and who guesses at those whom it takes.
#[tokio::test]
async fn a_guess_counts_beside_a_caller_of_other_modules() {
    let (server, identity) = behind_tokens().await;
    let said = serde_json::json!({"sub": "u1", "exp": NOW_S + 3_600});
    let token = format!("Bearer {}", Signer::secret(SECRET).sign(&said));
    for n in 0..40 {
        let given = sid(&format!("x{n}")).with("authorization", &token);
        let who = given.at(&identity, Accepted::only([1])).await;
        assert_eq!(told(&who), "module", "{n}");
    }
    assert_eq!(server.asked(), 10);
}

/// All at once, so that all of them are there before the first is found wrong.
#[tokio::test]
async fn guesses_at_once_are_hardly_more_than_one_by_one() {
    let (server, identity, _) = backend("max_concurrent_per_address = 4").await;
    let identity = Arc::new(identity);
    let guess = |n: usize| {
        let identity = Arc::clone(&identity);
        tokio::spawn(async move { told(&sid(&format!("x{n}")).from(STRANGE).of(&identity).await) })
    };
    let mut refused = 0;
    for one in (0..60).map(guess).collect::<Vec<_>>() {
        refused += usize::from(one.await.unwrap() == "too_many");
    }
    // Those that were on their way when the tenth was found wrong, and as many that took their places before it was taken down.
    assert!(server.asked() <= 10 + 2 * 4, "{}", server.asked());
    assert!(refused >= 60 - (10 + 2 * 4), "{refused}");
}

/// Remembers a credential of each of these, and has the back end say nothing more of them.
async fn all_are_to_be_asked_about_again(
    given: &[super::Given],
    (server, identity, clock): (&super::server::Server, &Identity, &super::Hand),
) {
    for one in given {
        assert!(one.of(identity).await.is_ok());
    }
    clock.forward(Duration::from_mins(1));
    server.answer(|head| {
        if head.contains("x-legacy: v") {
            return Reply::Silence;
        }
        knows(head)
    });
}

/// What `given` get, asked at once.
fn ask_all(
    identity: &Arc<Identity>,
    given: Vec<super::Given>,
) -> Vec<tokio::task::JoinHandle<String>> {
    let ask = |one: super::Given| {
        let identity = Arc::clone(identity);
        tokio::spawn(async move { told(&one.of(&identity).await) })
    };
    given.into_iter().map(ask).collect()
}

fn variant(user: &str, n: usize) -> super::Given {
    sid(user).with("x-legacy", &format!("v{n}"))
}

#[tokio::test]
async fn callers_leave_places_to_those_who_come_for_the_first_time() {
    let more = "max_concurrent = 8\nstale_for = \"0s\"";
    let (server, identity, clock) = backend(more).await;
    let given: Vec<_> = (0..20).map(|n| variant(&format!("u{n}"), n)).collect();
    all_are_to_be_asked_about_again(&given, (&server, &identity, &clock)).await;
    let identity = Arc::new(identity);
    let slow = ask_all(&identity, given);
    until_asked(&server, 20 + 6).await;
    let began = Instant::now();
    is(&identity, "u100", STRANGE, "forward:u100 [u100]").await;
    assert!(began.elapsed() < Duration::from_millis(250));
    for one in slow {
        assert_eq!(one.await.unwrap(), "unavailable");
    }
}

/// One account that has as many credentials as it likes, each of them right.
#[tokio::test]
async fn one_caller_takes_no_more_places_than_its_share() {
    let more = "max_concurrent = 8\nmax_concurrent_per_address = 2\nstale_for = \"0s\"";
    let (server, identity, clock) = backend(more).await;
    let mut given: Vec<_> = (0..20).map(|n| variant("u1", n)).collect();
    given.push(sid("u2"));
    all_are_to_be_asked_about_again(&given, (&server, &identity, &clock)).await;
    given.pop();
    let identity = Arc::new(identity);
    let slow = ask_all(&identity, given);
    until_asked(&server, 21 + 2).await;
    let began = Instant::now();
    is(&identity, "u2", HOME, "forward:u2 [u2]").await;
    assert!(began.elapsed() < Duration::from_millis(250));
    for one in slow {
        assert_eq!(one.await.unwrap(), "unavailable");
    }
}
