//! An event stream of flags, as a client reads it.

use http::StatusCode;
use serde_json::Value;

use crate::support::{gateway::Client, native::PATIENCE, within};

pub struct Event {
    pub id: String,
    pub data: Value,
}

/// An event stream that is read.
pub struct Stream {
    response: reqwest::Response,
    text: String,
    pub events: u32,
}

impl Stream {
    pub async fn open(client: &Client, query: &str, last: Option<&str>) -> Self {
        let request = client
            .http
            .get(format!("{}/ofrep/v1/sse?{query}", client.public));
        let request = last
            .iter()
            .fold(request, |request, id| request.header("last-event-id", *id));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        Self {
            response,
            text: String::new(),
            events: 0,
        }
    }

    /// The next block; nothing once the server has ended the stream in order.
    pub async fn try_next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                return Some(self.text.drain(..end + 2).collect());
            }
            let chunk = within("an event", PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    pub async fn next(&mut self) -> String {
        self.try_next().await.expect("the stream goes on")
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        loop {
            let block = self.next().await;
            let Some(rest) = block.strip_prefix("id: ") else {
                assert!(
                    block.starts_with(':') || block.starts_with("retry: "),
                    "{block}"
                );
                continue;
            };
            self.events += 1;
            let lines: Vec<_> = rest.trim_end().lines().collect();
            let [id, "event: message", data] = lines[..] else {
                panic!("{block}");
            };
            let data = data.strip_prefix("data: ").unwrap();
            return Event {
                id: id.to_owned(),
                data: serde_json::from_str(data).unwrap(),
            };
        }
    }
}
