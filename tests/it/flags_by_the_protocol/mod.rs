//! Flags over OFREP 0.3: one and all, entity tags, refusals in the words of the protocol, and the stream that says when to evaluate
//! anew.

mod answers;
mod origins;
mod refusals;
mod stream;
mod streams;

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Answer, Client, InProcess, MODULE, Setup},
};

const ALL: &str = "/ofrep/v1/evaluate/flags";
const ONE: &str = "/ofrep/v1/evaluate/flags/module.commission";

async fn gateway(keys: &[(&str, &str)]) -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    InProcess::start(&setup(&database, "a", keys)).await
}

fn setup(database: &DatabaseUnderTest, instance: &str, keys: &[(&str, &str)]) -> Setup {
    let setup = Setup::new(database, instance).among_others();
    keys.iter()
        .fold(setup, |setup, (key, value)| setup.set(key, value))
}

fn of(client_id: &str) -> String {
    json!({"context": {"targetingKey": client_id}}).to_string()
}

async fn send(client: &Client, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
    let request = client.http.post(format!("{}{path}", client.public));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    client.send(request.body(body.to_owned())).await
}

async fn all(client: &Client, client_id: &str) -> Answer {
    let answer = send(client, ALL, &of(client_id), &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

async fn unless(client: &Client, query: &str, client_id: &str, tag: &str) -> Answer {
    let path = format!("{ALL}{query}");
    send(client, &path, &of(client_id), &[("if-none-match", tag)]).await
}

async fn act(client: &Client, act: &str, percent: Option<u8>) {
    let path = format!("/admin/v1/modules/{MODULE}/{act}");
    let mut body = json!({"reason": "r"});
    if let Some(percent) = percent {
        body["percent"] = json!(percent);
    }
    let answer = client.post(&path, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

fn encoded(tag: &str) -> String {
    percent_encoding::utf8_percent_encode(tag, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What an entity tag holds.
fn hash(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}
