//! Who speaks to a gateway over HTTP.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{MODULE, Page, START};
use crate::support::{eventually, token::Http};

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Its body, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// A header's text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// Speaks to a gateway. Cheap to clone; keeps its connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub http: Http,
    pub public: String,
    pub private: String,
}

impl Client {
    pub(super) fn new(public: &str, private: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(START);
        Self {
            http: Http(http.build().unwrap()),
            public: format!("http://{public}"),
            private: format!("http://{private}"),
        }
    }

    /// Sends a request. An error means that no answer came.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    /// Sends a request, which must be answered.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// `GET` on the private listener.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.private)))
            .await
    }

    /// `POST` of JSON on the private listener.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(format!("{}{path}", self.private));
        self.send(request.json(body)).await
    }

    /// Hands changes of `commission` to the gateway. An error means that no answer came: whether they
    /// are stored is unknown.
    pub async fn try_ingest(&self, body: &Value) -> reqwest::Result<Answer> {
        let path = format!("{}/v1/modules/{MODULE}/changes", self.private);
        self.try_send(self.http.post(path).json(body)).await
    }

    /// Hands changes of `commission` to the gateway, which must accept them.
    pub async fn ingest(&self, body: &Value) {
        let answer = self.try_ingest(body).await.unwrap();
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }

    /// `GET /api/commission/list?{query}`.
    pub async fn try_poll(&self, query: &str) -> reqwest::Result<Answer> {
        let url = format!("{}/api/commission/list?{query}", self.public);
        self.try_send(self.http.get(url)).await
    }

    /// A page after `since`, for everyone's audience.
    pub async fn page(&self, since: u64, size: u64) -> Page {
        let query = format!("since={since}&size={size}");
        let answer = self.try_poll(&query).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        Page {
            items: body["list"].as_array().unwrap().clone(),
            cursor: body["since"].as_u64().unwrap(),
            more: body["more"].as_bool().unwrap(),
        }
    }

    /// Pages after `since` until there is no more. The cursors must move forward only.
    pub async fn pages(&self, mut since: u64, size: u64) -> (Vec<Value>, u64) {
        let mut items = Vec::new();
        loop {
            let page = self.page(since, size).await;
            assert!(page.cursor >= since, "{} after {since}", page.cursor);
            assert!(!page.more || page.cursor > since, "more, but not farther");
            items.extend(page.items);
            since = page.cursor;
            if !page.more {
                return (items, since);
            }
        }
    }

    /// Waits until a poll from `since` has brought `count` items, and returns all that it brought.
    pub async fn items(&self, since: u64, count: usize, patience: Duration) -> Vec<Value> {
        let what = format!("{count} changes after {since}");
        eventually(&what, patience, async || {
            let (items, _) = self.pages(since, 5_000).await;
            (items.len() >= count).then_some(items)
        })
        .await
    }

    /// What the admin API says of `commission`.
    pub async fn module(&self) -> Value {
        let answer = self.get(&format!("/admin/v1/modules/{MODULE}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Status and body of `readyz`; nothing if the listener does not answer.
    pub async fn ready(&self) -> Option<(StatusCode, Value)> {
        let request = self.http.get(format!("{}/readyz", self.private));
        let answer = self.try_send(request).await.ok()?;
        Some((answer.status, answer.json()))
    }
}

pub(super) async fn until_ready(client: &Client) {
    eventually("the gateway is ready", START, async || {
        let (status, _) = client.ready().await?;
        (status == StatusCode::OK).then_some(())
    })
    .await;
}
