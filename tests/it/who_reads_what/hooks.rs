//! The hooks, by the requests of each broker.

use serde_json::{Value, json};

use super::{
    CALLERS, KINDS, Seen,
    passes::{SECRET, Shown, gateway},
};
use crate::support::gateway::Client;

/// What a broker wants to know of somebody.
#[derive(Debug, Clone, Copy)]
enum Question {
    /// May he enter?
    Enters,
    /// May he subscribe to this? He is in, so no password comes along: whose time is over keeps his name.
    Subscribes(&'static str),
    /// May he publish there?
    Publishes(&'static str),
}

use Question::{Enters, Publishes, Subscribes};

const BROKERS: [&str; 3] = ["emqx", "vernemq", "rabbitmq"];

/// What each of [`CALLERS`] is told, by each broker's hooks.
const DOORS: [(Question, [&str; KINDS]); 9] = [
    (Enters, ["no", "no", "no", "no", "yes", "yes", "yes"]),
    (
        Subscribes("changeover/c/commission/u1"),
        ["no", "yes", "no", "no", "no", "no", "yes"],
    ),
    (
        Subscribes("changeover/c/commission/_all"),
        ["no", "yes", "no", "no", "yes", "no", "yes"],
    ),
    (
        Subscribes("changeover/c/stock/u1"),
        ["no", "no", "no", "no", "no", "yes", "no"],
    ),
    (Subscribes("changeover/c/commission/+"), ["no"; KINDS]),
    (Subscribes("#"), ["no"; KINDS]),
    (
        Subscribes("$share/g/changeover/c/commission/u1"),
        ["no", "yes", "no", "no", "no", "no", "yes"],
    ),
    (Subscribes("$share/g/#"), ["no"; KINDS]),
    (Publishes("changeover/c/commission/u1"), ["no"; KINDS]),
];

async fn told(client: &Client, broker: &str, question: Question, shown: &Shown) -> &'static str {
    let (username, password) = shown.with.as_ref().map_or(("", ""), |with| {
        (with.username.as_str(), with.password.as_str())
    });
    let who = (shown.client_id.as_str(), username, password);
    let is_yes = match broker {
        "emqx" => emqx(client, question, who).await,
        "vernemq" => vernemq(client, question, who).await,
        _ => rabbitmq(client, question, who).await,
    };
    if is_yes { "yes" } else { "no" }
}

async fn emqx(client: &Client, question: Question, (id, user, pass): (&str, &str, &str)) -> bool {
    let act =
        |action, topic| json!({"username": user, "clientid": id, "topic": topic, "action": action});
    let (path, body) = match question {
        Enters => (
            "authenticate",
            json!({"username": user, "password": pass, "clientid": id, "peerhost": "10.0.0.7"}),
        ),
        Subscribes(filter) => ("authorize", act("subscribe", filter)),
        Publishes(topic) => ("authorize", act("publish", topic)),
    };
    let path = format!("/broker/{SECRET}/emqx/{path}");
    let answer = client.post(&path, &body).await.json();
    word(&answer["result"], "allow", "deny")
}

async fn vernemq(
    client: &Client,
    question: Question,
    (id, user, pass): (&str, &str, &str),
) -> bool {
    let (hook, more) = match question {
        Enters => (
            "auth_on_register",
            json!({"password": pass, "peer_addr": "10.0.0.7"}),
        ),
        Subscribes(filter) => (
            "auth_on_subscribe",
            json!({"topics": [{"topic": filter, "qos": 1}]}),
        ),
        Publishes(topic) => ("auth_on_publish", json!({"topic": topic})),
    };
    let mut body = json!({"username": user, "client_id": id});
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    let asked = client
        .http
        .post(format!("{}/broker/{SECRET}/vernemq", client.private));
    let asked = asked.header("vernemq-hook", hook).json(&body);
    let answer = client.send(asked).await.json();
    if answer["topics"][0]["qos"] == 128 {
        return false;
    }
    let result = &answer["result"];
    let said = if result.is_object() {
        &result["error"]
    } else {
        result
    };
    word(said, "ok", "not_allowed")
}

async fn rabbitmq(
    client: &Client,
    question: Question,
    (id, user, pass): (&str, &str, &str),
) -> bool {
    let topic = |topic: &str| topic.replace('/', ".").replace('+', "*");
    let act = |permission: &str, of: &str| {
        vec![
            ("resource", "topic".to_owned()),
            ("name", "amq.topic".to_owned()),
            ("permission", permission.to_owned()),
            ("routing_key", topic(of)),
            ("variable_map.client_id", id.to_owned()),
        ]
    };
    let (path, more) = match question {
        Enters => (
            "user",
            vec![("password", pass.to_owned()), ("client_id", id.to_owned())],
        ),
        Subscribes(filter) => ("topic", act("read", filter)),
        Publishes(topic) => ("topic", act("write", topic)),
    };
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("username", user)
        .append_pair("vhost", "/")
        .extend_pairs(more)
        .finish();
    let url = format!("{}/broker/{SECRET}/rabbitmq/{path}", client.private);
    let asked = client.http.post(url).body(form);
    let asked = asked.header("content-type", "application/x-www-form-urlencoded");
    let answer = client.send(asked).await;
    word(&Value::from(answer.text), "allow", "deny")
}

fn word(said: &Value, yes: &str, no: &str) -> bool {
    assert!(said == yes || said == no, "{said}");
    said == yes
}

#[tokio::test]
async fn every_caller_at_every_hook() {
    let target = "\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://gateway:s3cret@127.0.0.1:1\"\nprofile = \"emqx\"\n";
    let (gateway, shown) = gateway(target).await;
    let mut seen = Seen::default();
    for broker in BROKERS {
        for (number, (question, expected)) in DOORS.iter().enumerate() {
            for (((who, _), shown), expected) in CALLERS.iter().zip(&shown).zip(expected) {
                let told = told(&gateway.client, broker, *question, shown).await;
                let door = format!("{broker}, question {number} ({question:?})");
                seen.told((&door, who), told, expected);
            }
        }
    }
    seen.all(BROKERS.len() * DOORS.len());
    gateway.stop().await;
}
