//! Native reads over HTTP: streams, snapshots, polls of several modules.

use std::time::Duration;

use bytes::BytesMut;
use changeover::{domain::Position, mirror::event, telemetry::Purpose};
use http::StatusCode;
use serde_json::Value;

use super::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Answer, Client, MODULE},
    within,
};

/// How long anything may take. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// `GET /v1/streams/commission?{query}`.
pub async fn stream(client: &Client, query: &str) -> Answer {
    let url = format!("{}/v1/streams/{MODULE}?{query}", client.public);
    client.send(client.http.get(url)).await
}

/// A page of a stream, which must be there.
pub async fn page(client: &Client, query: &str) -> (Vec<Value>, String) {
    let answer = stream(client, query).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let events = answer.json().as_array().unwrap().clone();
    (events, answer.header("stream-next-offset").to_owned())
}

/// Pages after `offset` until the answer says that there is no more.
pub async fn pages(client: &Client, offset: &str, rest: &str) -> (Vec<Value>, String) {
    let (mut events, mut offset) = (Vec::new(), offset.to_owned());
    loop {
        let answer = stream(client, &format!("offset={offset}{rest}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        events.extend(answer.json().as_array().unwrap().iter().cloned());
        let next = answer.header("stream-next-offset").to_owned();
        assert!(offset == "-1" || next >= offset, "{next} after {offset}");
        offset = next;
        if answer.header("stream-up-to-date") == "true" {
            return (events, offset);
        }
    }
}

/// `POST /v1/poll`.
pub async fn poll(client: &Client, body: &Value) -> Answer {
    let url = format!("{}/v1/poll", client.public);
    client.send(client.http.post(url).json(body)).await
}

/// The positions of events.
pub fn positions(events: &[Value]) -> Vec<u64> {
    let position = |event: &Value| event["sequence"].as_str().unwrap().parse().unwrap();
    events.iter().map(position).collect()
}

/// The cursor behind a position of the first epoch.
pub fn cursor(position: u64) -> String {
    format!("00000001_{position:016x}")
}

/// The events of a module as the mirror publishes them, for these audiences, from the database.
pub async fn events(database: &DatabaseUnderTest, module: &str, audiences: &[&str]) -> Vec<String> {
    let store = database.open().await;
    let module = module.parse().unwrap();
    let (mut events, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let from = [(std::clone::Clone::clone(&module), after)];
        let rows = store.rows_after(&from, 1_000, Purpose::Tail).await.unwrap();
        let Some((_, last)) = rows.last() else {
            break;
        };
        after = last.position;
        for (_, change) in &rows {
            if audiences.contains(&change.audience.as_str()) {
                let mut text = BytesMut::new();
                event::encode(&module, change, &mut text);
                events.push(String::from_utf8(text.to_vec()).unwrap());
            }
        }
    }
    store.close().await;
    events
}

/// Waits until the gateway has numbered so many changes of a module.
pub async fn numbered(client: &Client, module: &str, count: u64) {
    eventually("the changes are numbered", PATIENCE, async || {
        let url = format!("{}/v1/streams/{module}", client.public);
        let answer = client.send(client.http.head(url)).await;
        (answer.header("stream-next-offset") >= cursor(count).as_str()).then_some(())
    })
    .await;
}

/// A counter of `/metrics`, all its labels that hold `label` together.
pub async fn metric(client: &Client, name: &str, label: &str) -> u64 {
    let text = client.get("/metrics").await.text;
    let mine = |line: &&str| line.starts_with(name) && line.contains(label);
    let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    text.lines().filter(mine).map(number).sum()
}

/// One event of a stream of server-sent events; a comment has no name.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub event: String,
    pub data: Value,
}

/// A stream of server-sent events that is read.
pub struct Sse {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    response: reqwest::Response,
    text: String,
}

impl Sse {
    pub async fn open(client: &Client, query: &str) -> Self {
        let url = format!("{}/v1/streams/{MODULE}?live=sse&{query}", client.public);
        let response = client.http.get(url).send().await.unwrap();
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            response,
            text: String::new(),
        }
    }

    /// The next event; nothing once the server has ended the stream in order.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                return Some(parsed(&block));
            }
            let chunk = within("an event", PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event that is no comment.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let sent = self.next().await.expect("the stream goes on");
            if !sent.event.is_empty() {
                assert_eq!(sent.event, name, "{sent:?}");
                return sent.data;
            }
        }
    }
}

fn parsed(block: &str) -> Sent {
    let field = |name: &'static str| {
        let values = block
            .lines()
            .filter_map(move |line| line.strip_prefix(name));
        values.collect::<Vec<_>>().join("\n")
    };
    let event = field("event: ");
    let data = if event.is_empty() {
        assert!(block.starts_with(':'), "{block}");
        Value::Null
    } else {
        serde_json::from_str(&field("data: ")).unwrap_or_else(|why| panic!("{why}: {block}"))
    };
    Sent { event, data }
}
