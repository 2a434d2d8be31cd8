//! The address of a known caller's event stream holds a ticket, since browsers send no headers there: the same on each replica, good for that
//! address alone, and no longer than the credential.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    callers::{self, Credential},
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Program, Setup},
    native::PATIENCE,
    streams::sqlite,
    within,
};

const ALL: &str = "/ofrep/v1/evaluate/flags";

async fn bulk(client: &Client, credential: &Credential, query: &str, tag: &str) -> Answer {
    let request = client.http.0.post(format!("{}{ALL}{query}", client.public));
    let request = credential.on(request).header("if-none-match", tag);
    client.send(request.body("{}")).await
}

/// Path and query of the stream.
fn address(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let uri = answer.json()["eventStreams"][0]["endpoint"]["requestUri"].clone();
    uri.as_str().unwrap().to_owned()
}

/// Opens a stream as a browser does.
async fn open(client: &Client, address: &str) -> reqwest::Response {
    let request = client.http.0.get(format!("{}{address}", client.public));
    request.send().await.unwrap()
}

async fn refused(client: &Client, address: &str) {
    let answer = open(client, address).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{address}");
}

/// The tags of a stream's events, as far as they have come.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn of(client: &Client, address: &str) -> Self {
        let response = open(client, address).await;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        let text = String::new();
        Self { response, text }
    }

    /// The tag of the next event; none at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let data = block.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data {
                    let event: Value = serde_json::from_str(data).unwrap();
                    return Some(event["etag"].as_str().unwrap().to_owned());
                }
                continue;
            }
            let chunk = within("an event", PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn told(tag: &str) -> String {
    let tag = percent_encoding::utf8_percent_encode(tag, percent_encoding::NON_ALPHANUMERIC);
    format!("?flagConfigEtag={tag}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_replica_gives_the_same_and_takes_what_the_other_gave() {
    let database = sqlite().await;
    let setup = |name| {
        let setup = Setup::new(&database, name).among_others();
        setup.set("ofrep.settle_ms", 30_000).add(&callers::auth())
    };
    let one = InProcess::start(&setup("a")).await;
    let two = InProcess::start(&setup("b")).await;
    let (a, b) = (&one.client, &two.client);
    let own = Credential::until("u1", 3_600);
    let (at_a, at_b) = eventually("both have the key", PATIENCE, async || {
        let (at_a, at_b) = (bulk(a, &own, "", "").await, bulk(b, &own, "", "").await);
        let both = address(&at_a).contains("&ticket=") && address(&at_b).contains("&ticket=");
        both.then_some((at_a, at_b))
    })
    .await;
    assert_eq!(at_a.text, at_b.text);
    let tag = at_a.header("etag");
    assert_eq!(
        bulk(b, &own, "", tag).await.status,
        StatusCode::NOT_MODIFIED
    );
    let address = address(&at_a);

    // A browser has the address alone, and takes it to the other one.
    let mut events = Events::of(b, &address).await;
    let event = events.next().await.unwrap();
    let began = Instant::now();
    let known = bulk(a, &own, &told(&event), tag).await;
    assert_eq!(
        known.status,
        StatusCode::NOT_MODIFIED,
        "it is told of what it has"
    );
    let act = json!({"percent": 100, "reason": "r"});
    let ramped = a
        .post(&format!("/admin/v1/modules/{MODULE}/ramp"), &act)
        .await;
    assert_eq!(ramped.status, StatusCode::OK, "{ramped:?}");
    let event = events.next().await.unwrap();
    let flipped = bulk(b, &own, &told(&event), tag).await;
    assert_eq!(flipped.json()["flags"][0]["value"], "push", "{flipped:?}");
    // Another credential of the same caller is told of the same flags, and does not wait for its own ticket to be of them.
    let later = bulk(b, &Credential::until("u1", 7_200), &told(&event), tag).await;
    assert_eq!(later.json()["flags"], flipped.json()["flags"]);
    assert!(began.elapsed() < Duration::from_secs(25), "nobody waits");

    // It is good for nothing else.
    let (query, ticket) = address.rsplit_once("&ticket=").unwrap();
    let (most, last) = ticket.split_at(ticket.len() - 1);
    let other = if last == "A" { "Q" } else { "A" };
    refused(a, query).await;
    refused(a, &format!("{query}&ticket=")).await;
    refused(a, &format!("{query}&ticket={most}")).await;
    refused(a, &format!("{query}&ticket={other}{}", &ticket[1..])).await;
    refused(a, &format!("{query}&audience=u1&ticket={ticket}")).await;
    refused(
        a,
        &address.replacen("targetingKey=u1", "targetingKey=u2", 1),
    )
    .await;
    refused(
        a,
        &format!("/v1/streams/{MODULE}?offset=-1&ticket={ticket}"),
    )
    .await;
    let as_token = Credential::Token(ticket.to_owned());
    let answer = bulk(a, &as_token, "", "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    // What others add behind it is passed over.
    let response = open(a, &format!("{address}&x=1")).await;
    assert_eq!(response.status(), StatusCode::OK);
    drop((response, events));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_ticket_and_says_so_in_time() {
    let database = sqlite().await;
    let setup = Setup::new(&database, "a").add(&callers::auth());
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let short = Credential::until("u2", 6);
    let address = address(&bulk(client, &short, "", "").await);
    let began = Instant::now();
    let mut events = Events::of(client, &address).await;
    let first = events.next().await.unwrap();
    let second = events.next().await.expect("it is made to get another one");
    assert_eq!(first, second, "nothing has changed");
    assert_eq!(events.next().await, None, "it ends");
    assert!(began.elapsed() < Duration::from_secs(15), "{began:?}");
    eventually("it is over", PATIENCE, async || {
        let answer = open(client, &address).await;
        (answer.status() == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_changes_with_its_slot_and_is_written_nowhere() {
    let database = sqlite().await;
    let setup = Setup::new(&database, "a").add(&callers::auth());
    let setup = setup.set("ofrep.ticket_ms", 2_000);
    let mut gateway = Program::start(&setup.set("log.filter", "trace")).await;
    let client = &gateway.client;
    let own = Credential::until("u1", 3_600);
    let first = address(&bulk(client, &own, "", "").await);
    let mut events = Events::of(client, &first).await;
    assert!(events.next().await.is_some());
    eventually("the next slot's", PATIENCE, async || {
        let next = address(&bulk(client, &own, "", "").await);
        (next != first).then_some(())
    })
    .await;
    // The key's own client ids may be any, and its ticket says so.
    let answer = bulk(client, &Credential::Key, "", "").await;
    let shop = address(&answer);
    assert_eq!(open(client, &shop).await.status(), StatusCode::OK);
    let metrics = client.http.get(format!("{}/metrics", client.private));
    let metrics = client.send(metrics).await.text;
    for address in [first, shop] {
        let (_, ticket) = address.rsplit_once("&ticket=").unwrap();
        let log = gateway.log();
        let told = log.lines().find(|line| line.contains(ticket));
        assert_eq!(told, None, "the log holds a ticket");
        assert!(!metrics.contains(ticket), "the metrics hold a ticket");
    }
    drop(events);
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_has_the_pace_of_its_caller() {
    let database = sqlite().await;
    let setup = Setup::new(&database, "a").add(&callers::auth());
    let setup = setup.set("rate.per_caller.per_second", 1);
    let gateway = InProcess::start(&setup.set("rate.per_caller.burst", 4)).await;
    let client = &gateway.client;
    let own = Credential::until("u1", 3_600);
    let address = address(&bulk(client, &own, "", "").await);
    let refused = within("a refusal", PATIENCE, async {
        loop {
            let answer = open(client, &address).await;
            if answer.status() != StatusCode::OK {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    let other = bulk(client, &Credential::until("u2", 3_600), "", "").await;
    assert_eq!(other.status, StatusCode::OK, "{other:?}");
    gateway.stop().await;
}
