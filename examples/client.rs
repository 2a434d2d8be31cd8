//! A small complete client: it keeps the last value of every key in a file, comes by polls or by push as the gateway tells it, and goes on
//! after a restart where it was.
//!
//!     cargo run --release -- serve --config examples/quickstart.toml
//!     cargo run --example client -- http://127.0.0.1:8080 terminal-6 u1 held.json commission notices
//!     cargo run --release -- append commission --audience u1 --key order-1 --value '{"amount":1.10}'
//!
//! The rule is all in `changeover::client`; here are an HTTP library, an MQTT library, a file, and nothing to decide.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use changeover::{
    client::{
        Action, Client, Connection, Event, LinkId, Message, Polled, Progress, Session, Settings,
        StatePage,
    },
    domain::{Cursor, ModuleName, Op},
};
use reqwest::StatusCode;
use rumqttc::v5::{
    AsyncClient, Event as Mqtt, EventLoop, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Filter, SubscribeReasonCode},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tokio::sync::mpsc;

/// What the client holds of a module, and how far it is: one file, so that they are never apart.
#[derive(Serialize, Deserialize)]
struct Held {
    progress: Progress,
    values: BTreeMap<String, Box<RawValue>>,
}

/// Whom to ask, and as whom.
#[derive(Clone)]
struct Gateway {
    http: reqwest::Client,
    base: String,
    client_id: String,
    audience: String,
}

/// A connection, and the modules whose subscriptions wait for their answer.
struct Link {
    mqtt: AsyncClient,
    asked: Arc<Mutex<VecDeque<ModuleName>>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name| {
        arguments
            .next()
            .with_context(|| format!("{name} is missing"))
    };
    let gateway = Gateway {
        http: reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()?,
        base: argument("the gateway's URL")?,
        client_id: argument("the client id")?,
        audience: argument("the audience")?,
    };
    let file = argument("the file")?;
    let mut held: BTreeMap<ModuleName, Held> = match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_first_time) => BTreeMap::new(),
    };
    for module in arguments {
        held.entry(module.parse()?).or_insert_with(|| Held {
            progress: Progress::from_the_state(),
            values: BTreeMap::new(),
        });
    }
    let progress = held
        .iter()
        .map(|(name, held)| (name.clone(), held.progress.clone()));
    let mut client = Client::new(Settings::default(), progress, rand::random());
    let mut links = HashMap::new();
    let (sender, mut events) = mpsc::channel(64);
    let begun = Instant::now();
    let mut event = Event::Time;
    loop {
        let actions = client.handle(event, begun.elapsed());
        for action in actions {
            act(action, &gateway, &mut held, &mut links, &sender);
        }
        save(&client, &mut held, &file)?;
        let wakes = client.wakes_at().saturating_sub(begun.elapsed());
        event = match tokio::time::timeout(wakes, events.recv()).await {
            Ok(event) => event.context("the sender is ours")?,
            Err(_elapsed) => Event::Time,
        };
    }
}

fn act(
    action: Action,
    gateway: &Gateway,
    held: &mut BTreeMap<ModuleName, Held>,
    links: &mut HashMap<LinkId, Link>,
    sender: &mpsc::Sender<Event>,
) {
    let (gateway, sender) = (gateway.clone(), sender.clone());
    let ask = |question: std::pin::Pin<Box<dyn Future<Output = Event> + Send>>| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(question.await).await });
    };
    match action {
        Action::AskSession => ask(Box::pin(async move { gateway.session().await })),
        Action::Read { module, after } => {
            ask(Box::pin(async move { gateway.read(module, after).await }));
        }
        Action::TakeState { module, page } => {
            ask(Box::pin(async move { gateway.state(module, page).await }));
        }
        Action::Connect { link, connection } => match connect(&connection) {
            Ok((mqtt, turning)) => {
                let asked = Arc::<Mutex<VecDeque<_>>>::default();
                tokio::spawn(turn(link, turning, Arc::clone(&asked), sender));
                links.insert(link, Link { mqtt, asked });
            }
            Err(why) => {
                eprintln!("cannot connect: {why:#}");
                ask(Box::pin(async move { Event::Disconnected { link } }));
            }
        },
        Action::Disconnect { link } => {
            if let Some(link) = links.remove(&link) {
                let _gone = link.mqtt.try_disconnect();
            }
        }
        // If a connection is gone already, its end is on the way.
        Action::Subscribe {
            link,
            module,
            topics,
        } => {
            if let Some(link) = links.get(&link) {
                let filters = topics
                    .iter()
                    .map(|topic| Filter::new(topic, QoS::AtLeastOnce));
                link.asked
                    .lock()
                    .expect("nobody panics with it")
                    .push_back(module);
                let _gone = link.mqtt.try_subscribe_many(filters);
            }
        }
        Action::Unsubscribe { link, topics } => {
            for (link, topic) in links
                .get(&link)
                .into_iter()
                .flat_map(|link| topics.iter().map(move |topic| (link, topic)))
            {
                let _gone = link.mqtt.try_unsubscribe(topic);
            }
        }
        Action::Forget { module } => {
            println!("{module}: everything is new");
            if let Some(held) = held.get_mut(&module) {
                held.values.clear();
            }
        }
        Action::Apply { module, change, by } => {
            let (key, by) = (format!("{}/{}", change.audience, change.key), by.as_str());
            let Some(held) = held.get_mut(&module) else {
                return;
            };
            let value = change.value.filter(|_| change.op == Op::Upsert);
            let value = value.and_then(|text| RawValue::from_string(text.as_str().to_owned()).ok());
            match value {
                Some(value) => {
                    println!("{module} {} by {by}: {key} = {value}", change.position);
                    held.values.insert(key, value);
                }
                None => {
                    println!("{module} {} by {by}: {key} is gone", change.position);
                    held.values.remove(&key);
                }
            }
        }
    }
}

/// Replaces the file in one step, if the client has come further. Every change moves its progress.
fn save(client: &Client, held: &mut BTreeMap<ModuleName, Held>, file: &str) -> Result<()> {
    let mut moved = false;
    for (module, held) in held.iter_mut() {
        if let Some(progress) = client.progress(module.as_str()) {
            moved |= held.progress != *progress;
            held.progress = progress.clone();
        }
    }
    if moved {
        let new = format!("{file}.new");
        fs::write(&new, serde_json::to_vec(held)?)?;
        fs::rename(new, file)?;
    }
    Ok(())
}

impl Gateway {
    async fn session(&self) -> Event {
        let url = format!("{}/v1/session", self.base);
        let body = json!({"client_id": self.client_id, "audience": self.audience});
        match fetch(self.http.post(url).json(&body)).await {
            Ok((StatusCode::OK, body)) => match Session::parse(&body) {
                Ok(session) => Event::Session(session),
                Err(_unreadable) => Event::SessionFailed(None),
            },
            _ => Event::SessionFailed(None),
        }
    }

    async fn read(&self, module: ModuleName, after: Option<Cursor>) -> Event {
        let url = format!("{}/v1/poll", self.base);
        let body = json!({"cursors": {module.as_str(): after}, "audience": self.audience});
        let answer = fetch(self.http.post(url).json(&body)).await;
        let polled = answer.ok().and_then(|(_, body)| Polled::parse(&body).ok());
        match polled.and_then(|mut polled| polled.remove(&module)) {
            Some(Polled::Page(page)) => Event::Page(module, page),
            Some(Polled::Gone) => Event::Gone(module),
            Some(Polled::Failed) | None => Event::ReadFailed(module, None),
        }
    }

    async fn state(&self, module: ModuleName, page: Option<String>) -> Event {
        let first = || format!("/v1/modules/{module}/snapshot");
        let is_first = page.is_none();
        let url = format!("{}{}", self.base, page.unwrap_or_else(first));
        let Ok(mut url) = reqwest::Url::parse(&url) else {
            return Event::ReadFailed(module, None);
        };
        if is_first {
            url.query_pairs_mut()
                .append_pair("audience", &self.audience);
        }
        match fetch(self.http.get(url)).await {
            Ok((StatusCode::OK, body)) => match StatePage::parse(&body) {
                Ok(page) => Event::State(module, page),
                Err(_unreadable) => Event::ReadFailed(module, None),
            },
            Ok((StatusCode::GONE, _)) => Event::Gone(module),
            Ok((StatusCode::NOT_FOUND, _)) => Event::NoState(module),
            _ => Event::ReadFailed(module, None),
        }
    }
}

async fn fetch(request: reqwest::RequestBuilder) -> reqwest::Result<(StatusCode, Vec<u8>)> {
    let answer = request.send().await?;
    Ok((answer.status(), answer.bytes().await?.to_vec()))
}

fn connect(to: &Connection) -> Result<(AsyncClient, EventLoop)> {
    let url = to.url.as_ref().context("the session names no address")?;
    let (scheme, address) = url.split_once("://").context("an address has a scheme")?;
    if scheme != "mqtt" {
        return Err(anyhow!(
            "this small client speaks MQTT over TCP only, not {scheme}"
        ));
    }
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "1883"));
    let mut options = MqttOptions::new(&to.client_id, host, port.parse()?);
    options.set_keep_alive(to.keep_alive);
    // The broker keeps what comes while the connection is lost.
    options.set_clean_start(false);
    options.set_session_expiry_interval(Some(600));
    options.set_max_packet_size(Some(16 * 1024 * 1024));
    if let (Some(user), Some(password)) = (&to.username, &to.password) {
        options.set_credentials(user, password);
    }
    Ok(AsyncClient::new(options, 64))
}

/// Turns a connection until its first error. The library would connect again by itself: that is for the rule to say.
async fn turn(
    link: LinkId,
    mut turning: EventLoop,
    asked: Arc<Mutex<VecDeque<ModuleName>>>,
    sender: mpsc::Sender<Event>,
) {
    loop {
        let event = match turning.poll().await {
            Ok(Mqtt::Incoming(Incoming::ConnAck(answer))) => Event::Connected {
                link,
                session_present: answer.session_present,
            },
            Ok(Mqtt::Incoming(Incoming::SubAck(answer))) => {
                let module = asked.lock().expect("nobody panics with it").pop_front();
                let Some(module) = module else { continue };
                let codes = &answer.return_codes;
                let is_granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                Event::Subscribed {
                    link,
                    module,
                    granted: codes.iter().all(is_granted),
                }
            }
            Ok(Mqtt::Incoming(Incoming::Publish(message))) => {
                // What cannot be read is as good as lost: the rule finds the gap.
                let Ok(message) = Message::parse(&message.payload) else {
                    continue;
                };
                Event::Message { link, message }
            }
            Ok(_) => continue,
            Err(why) => {
                eprintln!("not connected: {why}");
                let _over = sender.send(Event::Disconnected { link }).await;
                return;
            }
        };
        if sender.send(event).await.is_err() {
            return;
        }
    }
}
