//! The examples of `docs/LEGACY.md`, "What the request may look like", on a real gateway.
//!
//! `CHANGEOVER_BLESS=1` writes the answers into the page.

use std::fs;

use http::Method;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, InProcess, START, Setup},
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/LEGACY.md");

const SECTION: &str = "## What the request may look like\n";

/// What an answer begins with.
const ANSWER: &str = "HTTP/1.1 ";

/// Headers that are shown, if an answer has them.
const SHOWN: [&str; 1] = ["allow"];

/// The text from a heading to the next one of its level.
fn section(page: &str) -> &str {
    let from = page.find(SECTION).expect("the page has the section");
    let rest = &page[from..];
    let end = rest[SECTION.len()..].find("\n## ");
    end.map_or(rest, |end| &rest[..=SECTION.len() + end])
}

/// What stands in the fenced blocks of a language.
fn blocks<'p>(text: &'p str, language: &str) -> Vec<&'p str> {
    let open = format!("```{language}\n");
    let blocks = text.split(&*open).skip(1);
    blocks
        .map(|rest| rest.split_once("```").expect("the block ends").0)
        .collect()
}

async fn send(client: &Client, request: &str) -> Answer {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let url = format!("{}{path}", client.public);
    let mut sent = client.http.request(method, url);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        sent = sent.header(name, value);
    }
    client.send(sent.body(body.trim().to_owned())).await
}

fn written(answer: &Answer) -> String {
    let shown = SHOWN.iter().filter_map(|name| {
        let value = answer.headers.get(*name)?;
        Some(format!("{name}: {}\n", value.to_str().unwrap()))
    });
    let headers: String = shown.collect();
    format!("{ANSWER}{}\n{headers}\n{}\n", answer.status, answer.text)
}

async fn fill(client: &Client) {
    let changes = json!([
        {"key": "c-1", "value": {"amount": 5}},
        {"key": "c-2", "value": {"amount": 7}, "audience": "u1"},
    ]);
    client.ingest(&changes).await;
    let order = json!({"key": "o-1", "value": {"total": 12}});
    let answer = client.post("/v1/modules/orders/changes", &order).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let everything = "{\"uid\":\"u1\",\"cursors\":{\"Commission\":null,\"orders\":null}}";
    eventually("the changes are polled", START, async || {
        let answer = send(client, &format!("POST /api/poll-all\n\n{everything}")).await;
        let there = ["c-1", "c-2", "o-1"]
            .iter()
            .all(|key| answer.text.contains(key));
        there.then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_example_is_answered_as_it_says() {
    let page = fs::read_to_string(PAGE).unwrap();
    let section = section(&page);
    let modules = blocks(section, "toml").join("\n");
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "gw-1").modules(&modules)).await;
    fill(&gateway.client).await;
    let mut truth = section.to_owned();
    let examples = blocks(section, "http");
    assert!(examples.len() > 10, "{examples:?}");
    for example in examples {
        let request = example.split(ANSWER).next().unwrap().trim_end();
        let answer = send(&gateway.client, request).await;
        let now = format!("{request}\n\n{}", written(&answer));
        truth = truth.replacen(
            &format!("```http\n{example}"),
            &format!("```http\n{now}"),
            1,
        );
    }
    gateway.stop().await;
    if std::env::var_os("CHANGEOVER_BLESS").is_some() {
        fs::write(PAGE, page.replace(section, &truth)).unwrap();
    } else {
        assert_eq!(
            section, truth,
            "docs/LEGACY.md is stale: run with CHANGEOVER_BLESS=1"
        );
    }
}
