//! The least that publishing costs: rumqttc at QoS 1 with the gateway's payload, from memory.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use changeover::{
    domain::{Audience, Change, Epoch, JsonText, Micros, ModuleName, Op, Position},
    mirror::event,
};
use reqwest::Url;
use rumqttc::v5::{
    Event, EventLoop, Incoming,
    mqttbytes::{QoS, v5::PublishProperties},
};

use crate::mqtt;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// `mqtt://host:port`.
    #[arg(long)]
    broker: Url,
    /// Messages to publish.
    #[arg(long)]
    rows: usize,
    /// Topics that the messages are spread over.
    #[arg(long, default_value_t = 5000)]
    channels: usize,
    /// Publishes that may be without acknowledgement, as many as the gateway's.
    #[arg(long, default_value_t = 1000)]
    inflight: u16,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, mut events) = mqtt::client(&arguments.broker, "raw", arguments.inflight)?;
    until_connected(&mut events).await?;
    let begun = Instant::now();
    let payload = payload()?;
    let publishing = tokio::spawn(async move {
        for row in 0..arguments.rows {
            let topic = format!("raw/c/commission/u{}", row % arguments.channels);
            let properties = PublishProperties {
                content_type: Some(event::CONTENT_TYPE.to_owned()),
                ..PublishProperties::default()
            };
            client
                .publish_with_properties(
                    topic,
                    QoS::AtLeastOnce,
                    false,
                    payload.clone(),
                    properties,
                )
                .await?;
        }
        // The client stays: an event loop without one ends.
        anyhow::Ok(client)
    });
    let mut acknowledged = 0;
    while acknowledged < arguments.rows {
        if let Event::Incoming(Incoming::PubAck(_)) = events.poll().await? {
            acknowledged += 1;
        }
    }
    let rate = f64::from(u32::try_from(acknowledged)?) / begun.elapsed().as_secs_f64();
    println!("{rate:.0}");
    let _client = publishing.await??;
    Ok(())
}

async fn until_connected(events: &mut EventLoop) -> anyhow::Result<()> {
    while !matches!(events.poll().await?, Event::Incoming(Incoming::ConnAck(_))) {}
    Ok(())
}

/// An event as the gateway would publish it for a row of [`crate::outbox`].
fn payload() -> anyhow::Result<Bytes> {
    let module: ModuleName = "commission".parse()?;
    let value = format!(
        r#"{{"order":100000,"state":"settled","amount":"1034.50","note":"{}"}}"#,
        "x".repeat(140)
    );
    let change = Change {
        epoch: Epoch::FIRST,
        position: Position::new(100_000),
        previous: Position::new(99_000),
        audience: Audience::new("u100", 64)?,
        key: "order-100000".into(),
        op: Op::Upsert,
        value: JsonText::parse(&value)?,
        change_id: None,
        occurred_at: Micros::new(1_784_117_045_000_250),
        sequenced_at: Micros::new(1_784_117_045_000_250),
    };
    let mut payload = BytesMut::new();
    event::encode(&module, &change, &mut payload);
    Ok(payload.freeze())
}
