//! Asking others over HTTP: a back end whether it knows a credential, an issuer for its keys.
//!
//! Invariants: no redirect is followed; of an answer no more is read than allowed, and for no longer; over https the other side is known by
//! a certificate of a believed CA. `stream.rs` is what requests go over.

mod stream;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use self::stream::Connector;

/// A client of HTTP/1.1 that keeps its connections for a while.
#[derive(Clone)]
pub(super) struct Web(Client<Connector, Empty<Bytes>>);

/// What was answered.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// Nothing came in time.
    #[error("no answer came in time")]
    Late,
    /// The answer is too long.
    #[error("the answer is longer than allowed")]
    TooLong,
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Broken(String),
}

/// How long a connection is kept without use: shorter than most servers keep theirs.
const IDLE: Duration = Duration::from_secs(4);

/// The most of an answer's head.
const HEAD_BYTES: usize = 64 * 1024;

impl Web {
    /// A client that believes the CAs in a file, or those of the system. Plain HTTP needs none.
    pub(super) fn new(
        url: &url::Url,
        ca_file: Option<&Path>,
        connections: usize,
    ) -> Result<Self, String> {
        let connector = match url.scheme() {
            "https" => Connector::over_tls(ca_file)?,
            _ => Connector::plain(),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(connections)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        Ok(Self(client))
    }

    /// Asks, and reads the answer.
    pub(super) async fn ask(
        &self,
        request: Request<Empty<Bytes>>,
        max_bytes: usize,
        patience: Duration,
    ) -> Result<Answered, Unanswered> {
        let asking = async {
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|error| Unanswered::Broken(told(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Unanswered::TooLong,
                None => Unanswered::Broken("the connection broke within the answer".to_owned()),
            })?;
            Ok(Answered {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        timeout(patience, asking)
            .await
            .unwrap_or(Err(Unanswered::Late))
    }
}

/// An error with what lies below it: its own words say little.
fn told(error: &dyn std::error::Error) -> String {
    let mut whole = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        whole = format!("{whole}: {cause}");
        below = cause.source();
    }
    whole
}
