//! The examples of `docs/LEGACY.md`, "How often clients ask": what a client is answered in the course
//! of time, without an option and with it. `legacy_examples` puts them into the page.

use std::{fmt::Write, time::Duration};

use toml::{Table, Value};

use crate::{
    legacy_examples::{merge, written},
    legacy_gateway::{Answer, Gateway},
    support::eventually,
};

/// The endpoint of every example.
const ENDPOINT: &str = r#"
name = "prices"
[poll]
path = "/prices"
cursor = { in = "query", name = "since" }
limit = { in = "query", name = "size", default = 100, max = 1000 }
[poll.response]
body = '{"list":"$changes","since":"$cursor","next":"$next_poll_ms"}'
item = '"$key"'
"#;

const SOON: Duration = Duration::from_mins(1);

/// Shown, if an answer has it.
const HEADERS: [&str; 1] = ["changeover-next-poll-ms"];

enum Step {
    Poll(&'static str),
    /// A change of `salt` comes after the poll was sent; if it waits, while it waits.
    PollBefore(&'static str),
    /// A change of `salt` has come since the step before.
    PollAfter(&'static str),
    /// More than `polls_per_s` polls in a second.
    PollOften(&'static str),
}

use Step::{Poll, PollAfter, PollBefore, PollOften};

/// Keys below `modules.poll`, and what happens.
const SCENES: [(&str, &[Step]); 3] = [
    (
        r#"wait = { in = "query", name = "wait_ms", max_ms = 60000 }"#,
        &[
            PollBefore("/prices?since=2&wait_ms=60000"),
            Poll("/prices?since=2&wait_ms=60000"),
            Poll("/prices?since=3&wait_ms=soon"),
        ],
    ),
    (
        "floor_ms = 60000",
        &[
            Poll("/prices?since=2"),
            PollAfter("/prices?since=2"),
            Poll("/prices?since=2&size=50"),
        ],
    ),
    (
        "steer = { max_ms = 6000, polls_per_s = 1 }",
        &[Poll("/prices?since=2"), PollOften("/prices?since=2")],
    ),
];

/// The table of the page.
pub async fn table() -> String {
    let mut table = String::from("| option | request | without | with |\n|---|---|---|---|\n");
    for (option, steps) in SCENES {
        let without = ENDPOINT.parse::<Table>().unwrap();
        let mut with = without.clone();
        let option_keys = Value::Table(option.parse().unwrap());
        merge(
            &mut with,
            Table::from_iter([("poll".to_owned(), option_keys)]),
        );
        let answers = [played(&without, steps).await, played(&with, steps).await];
        for (n, step) in steps.iter().enumerate() {
            let (ask, [before, after]) = (told(step), [0, 1].map(|way| &answers[way][n]));
            writeln!(table, "| `{option}` | {ask} | {before} | {after} |").unwrap();
        }
    }
    table
}

fn told(step: &Step) -> String {
    match step {
        Poll(path) => format!("`{path}`"),
        PollBefore(path) => format!("`{path}`, then `salt` changes"),
        PollAfter(path) => format!("`salt` changes, then `{path}`"),
        PollOften(path) => format!("`{path}`, after a second of many polls"),
    }
}

/// The answers of all steps, as they are shown.
async fn played(endpoint: &Table, steps: &[Step]) -> Vec<String> {
    let gateway = Gateway::new(&endpoint.to_string(), 100);
    gateway.upsert("*", "sugar", "1");
    gateway.upsert("*", "tea", "1");
    let mut shown = Vec::new();
    for step in steps {
        let answer = taken(&gateway, step).await;
        shown.push(written(&answer, &HEADERS));
    }
    shown
}

async fn taken(gateway: &Gateway, step: &Step) -> Answer {
    match step {
        Poll(path) => gateway.get(path).await,
        PollBefore(path) => {
            // In this order: the poll runs until it is answered or waits, then the change comes.
            let change = async { gateway.upsert("*", "salt", "1") };
            futures_util::join!(gateway.get(path), change).0
        }
        PollAfter(path) => {
            gateway.upsert("*", "salt", "1");
            gateway.get(path).await
        }
        PollOften(path) => often(gateway, path).await,
    }
}

/// Polls until the interval has grown; one that is not steered never grows.
async fn often(gateway: &Gateway, path: &str) -> Answer {
    let first = gateway.get(path).await;
    if first.header(HEADERS[0]).is_none() {
        return first;
    }
    eventually("the interval has grown", SOON, async || {
        let answer = gateway.get(path).await;
        (answer.header(HEADERS[0]) != first.header(HEADERS[0])).then_some(answer)
    })
    .await
}
