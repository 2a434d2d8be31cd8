//! `changeover append`: hands changes to the gateway, one from flags or many from standard input.
//!
//! Invariants: values go through byte for byte; memory is bounded by one request; a request that
//! was refused for now is sent again a bounded number of times, then the command fails and says
//! how much was accepted.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json, value::RawValue};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

use super::{
    Failure, Globals, Output,
    client::{Answer, Client, Remote},
};
use crate::domain::{ModuleName, Op};

/// Most changes in one request.
const LINES: usize = 500;

/// A request is closed once it holds this many bytes.
const BYTES: usize = 1024 * 1024;

/// Longest line that is read. With what stands before it, a request stays below the default of
/// `ingest.body_bytes`.
const LINE_BYTES: u64 = 2 * 1024 * 1024;

/// How often a request is sent before the command gives up.
const TRIES: u32 = 8;

/// Longest pause before a request is sent again, whatever the gateway asks for.
const PAUSE_MAX_S: u64 = 30;

/// Hands changes to the gateway: one by --key and --value, or NDJSON on standard input.
#[derive(Debug, Args)]
pub struct Append {
    /// The module whose log they go to.
    module: ModuleName,
    /// What the change is about. Without it, changes are read from standard input, a JSON object
    /// a line: key, value, and optionally audience, op, `change_id`, `occurred_at_ms`.
    #[arg(long)]
    key: Option<String>,
    /// The key's value, as JSON. May be left out for a delete.
    #[arg(long, requires = "key")]
    value: Option<String>,
    /// For whom it is; default: everyone.
    #[arg(long, requires = "key")]
    audience: Option<String>,
    /// `upsert` or `delete`.
    #[arg(long, requires = "key", default_value = "upsert")]
    op: Op,
    /// Your own id: the log holds a change with the same id once, so sending it again is safe.
    #[arg(long, requires = "key")]
    change_id: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Append {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let item = self.key.as_deref().map(|key| self.item(key)).transpose();
        let item = item.map_err(Failure::Usage)?;
        let client = self.remote.client(globals)?;
        let accepted = if let Some(item) = item {
            self.post(&client, "application/json", item).await?
        } else {
            let input = BufReader::new(tokio::io::stdin());
            self.stream(&client, input).await?
        };
        let answer = json!({"accepted": accepted}).to_string();
        Ok(self
            .output
            .print(&answer, |_| format!("{accepted} accepted"))?)
    }

    /// The change of the flags, its value byte for byte as it was given.
    fn item(&self, key: &str) -> anyhow::Result<String> {
        if self.value.is_none() && self.op == Op::Upsert {
            bail!("an upsert needs --value");
        }
        let value = self.value.clone().map(RawValue::from_string).transpose();
        let item = Item {
            key,
            value: value.context(
                "--value is not valid JSON (a text needs its quotes: --value '\"text\"')",
            )?,
            audience: self.audience.as_deref(),
            op: self.op,
            change_id: self.change_id.as_deref(),
        };
        serde_json::to_string(&item).context("the change cannot be written as JSON")
    }

    async fn stream(
        &self,
        client: &Client,
        mut input: impl AsyncBufRead + Unpin,
    ) -> anyhow::Result<u64> {
        let (mut accepted, mut first) = (0, 1);
        loop {
            let Some((body, lines)) = next_request(&mut input, first).await? else {
                return Ok(accepted);
            };
            let posted = self.post(client, "application/x-ndjson", body).await;
            let last = first + lines - 1;
            accepted += posted.with_context(|| {
                format!(
                    "lines {first} to {last} were not taken; {accepted} changes before them were"
                )
            })?;
            first += lines;
        }
    }

    async fn post(&self, client: &Client, kind: &str, body: String) -> anyhow::Result<u64> {
        let path = ["v1", "modules", self.module.as_str(), "changes"];
        let mut attempt = 1;
        loop {
            let request = client.request(Method::POST, &path);
            let request = request.header(CONTENT_TYPE, kind).body(body.clone());
            let answer = client.send(request).await?;
            let Some(pause) = pause_before_retry(&answer, attempt) else {
                let body = client.accepted(answer, Some(self.module.as_str())).await?;
                return accepted(&body);
            };
            eprintln!(
                "{}; sending again in {} s",
                answer.problem(),
                pause.as_secs()
            );
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }
}

/// How long to wait before sending again; `None` if this answer is final.
fn pause_before_retry(answer: &Answer, attempt: u32) -> Option<Duration> {
    let busy = matches!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let seconds = answer.retry_after.unwrap_or(1).min(PAUSE_MAX_S);
    (busy && attempt < TRIES).then(|| Duration::from_secs(seconds))
}

fn accepted(body: &str) -> anyhow::Result<u64> {
    let body: Value = serde_json::from_str(body).context("the answer is not JSON")?;
    body.get("accepted")
        .and_then(Value::as_u64)
        .ok_or_else(|| anyhow!("the answer does not say how many changes were accepted"))
}

#[derive(serde::Serialize)]
struct Item<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<&'a str>,
    op: Op,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_id: Option<&'a str>,
}

/// The next lines that fit one request, without the empty ones, and how many lines that took;
/// `None` at the end of the input.
async fn next_request(
    input: &mut (impl AsyncBufRead + Unpin),
    first: u64,
) -> anyhow::Result<Option<(String, u64)>> {
    let (mut body, mut lines) = (String::new(), 0);
    let mut filled = 0;
    while filled < LINES && body.len() < BYTES {
        let before = body.len();
        let mut line = (&mut *input).take(LINE_BYTES);
        let read = line.read_line(&mut body).await;
        let read = read.with_context(|| format!("line {} cannot be read", first + lines))?;
        if read == 0 {
            break;
        }
        lines += 1;
        if read as u64 == LINE_BYTES && !body.ends_with('\n') {
            bail!(
                "line {} is longer than {LINE_BYTES} bytes",
                first + lines - 1
            );
        }
        if body[before..].trim().is_empty() {
            body.truncate(before);
        } else {
            filled += 1;
        }
    }
    Ok((filled > 0).then_some((body, lines)))
}
