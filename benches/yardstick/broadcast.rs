//! One change for everyone, and thousands of subscribers: from the first one that has it to the last.
//!
//! The change comes from the gateway, or from rumqttc with the same bytes. All subscribers are one process, so that one
//! monotonic clock times all of them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use reqwest::Url;
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, Incoming,
    mqttbytes::{QoS, v5::PublishProperties},
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::mqtt;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// `mqtt://host:port`.
    #[arg(long)]
    broker: Url,
    /// Subscribers, each on a connection of its own.
    #[arg(long)]
    subscribers: usize,
    /// What everyone subscribes to.
    #[arg(long)]
    topic: String,
    /// The gateway's ingest. After each change from there rumqttc publishes the same bytes.
    #[arg(long)]
    ingest: Url,
    /// Where its token is.
    #[arg(long, env = "CHANGEOVER_TOKEN_FILE")]
    token_file: PathBuf,
    /// Broadcasts of each kind, in turn.
    #[arg(long, default_value_t = 9)]
    times: usize,
}

/// Longer than any broadcast takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Connections that are opened at once.
const AT_ONCE: usize = 100;

type Arrivals = mpsc::UnboundedReceiver<(Instant, Bytes)>;

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    for begin in (0..arguments.subscribers).step_by(AT_ONCE) {
        let mut opening = JoinSet::new();
        for number in begin..(begin + AT_ONCE).min(arguments.subscribers) {
            let (broker, topic) = (arguments.broker.clone(), arguments.topic.clone());
            let arrived = arrived.clone();
            opening.spawn(async move {
                let (client, events) = subscribe(&broker, number, &topic).await?;
                tokio::spawn(listen(client, events, arrived));
                anyhow::Ok(())
            });
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
    }
    let publisher = publisher(&arguments.broker)?;
    let http = reqwest::Client::new();
    let token = tokio::fs::read_to_string(&arguments.token_file).await?;
    let token = token.trim();
    let mut spans = [Vec::new(), Vec::new()];
    // The first one of each warms up.
    for _ in 0..=arguments.times {
        let change = json!({"key": "broadcast", "value": {"note": "x".repeat(180)}});
        let sent = http.post(arguments.ingest.clone()).bearer_auth(token);
        let sent = sent.json(&change).send();
        sent.await?.error_for_status()?;
        let (by_gateway, payload) = spread(&mut arrivals, arguments.subscribers).await?;
        let properties = PublishProperties {
            content_type: Some(changeover::mirror::event::CONTENT_TYPE.to_owned()),
            ..PublishProperties::default()
        };
        publisher
            .publish_with_properties(
                &arguments.topic,
                QoS::AtLeastOnce,
                false,
                payload,
                properties,
            )
            .await?;
        let (raw, _) = spread(&mut arrivals, arguments.subscribers).await?;
        spans[0].push(by_gateway);
        spans[1].push(raw);
    }
    let [by_gateway, raw] = spans.map(|spans| median(&spans[1..]));
    println!("{by_gateway:.1} {raw:.1}");
    Ok(())
}

async fn subscribe(
    broker: &Url,
    number: usize,
    topic: &str,
) -> anyhow::Result<(AsyncClient, EventLoop)> {
    let (client, mut events) = mqtt::client(broker, &format!("terminal-{number}"), 10)?;
    client.subscribe(topic, QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
    Ok((client, events))
}

/// Tells of each message; the client is kept, because its loop ends with it.
async fn listen(
    _client: AsyncClient,
    mut events: EventLoop,
    arrived: mpsc::UnboundedSender<(Instant, Bytes)>,
) {
    while let Ok(event) = events.poll().await {
        if let Event::Incoming(Incoming::Publish(message)) = event {
            let _all_have_come = arrived.send((Instant::now(), message.payload));
        }
    }
}

fn publisher(broker: &Url) -> anyhow::Result<AsyncClient> {
    let (client, mut events) = mqtt::client(broker, "publisher", 10)?;
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    Ok(client)
}

/// Milliseconds between the first and the last arrival of one message, and the message.
async fn spread(arrivals: &mut Arrivals, subscribers: usize) -> anyhow::Result<(f64, Bytes)> {
    let mut first: Option<(Instant, Bytes)> = None;
    let mut last = None;
    for heard in 0..subscribers {
        let next = timeout(PATIENCE, arrivals.recv()).await;
        let next = next.with_context(|| format!("only {heard} have heard it"))?;
        let (at, payload) = next.context("nobody listens")?;
        if first.as_ref().is_none_or(|(first, _)| at < *first) {
            first = Some((at, payload));
        }
        last = last.max(Some(at));
    }
    ensure!(arrivals.is_empty(), "more has come than was sent");
    let ((first, payload), last) = (first.context("nobody")?, last.context("nobody")?);
    Ok(((last - first).as_secs_f64() * 1_000.0, payload))
}

fn median(spans: &[f64]) -> f64 {
    let mut sorted = spans.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
