//! The matrix: every door, and what each kind of caller is told there.
//!
//! A door that is new is an entry of a table: [`DOORS`] over HTTP, [`brokers::CHANNELS`] for MQTT, [`hooks::DOORS`] for brokers that ask. The
//! endpoints of the private listener have roles instead of audiences: `tokens_say_who_may_what`.

#[cfg(feature = "embedded-broker")]
mod brokers;
mod hooks;
mod passes;

use changeover::domain::ModuleName;
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    callers::{self, Credential},
    gateway::{Client, InProcess, Setup},
    native::PATIENCE,
    streams::sqlite,
    within,
};

/// Who asks, what it is called here and with what it comes. What is asked for is always of the account `u1` and of a module for accounts.
type Kind = (&'static str, fn() -> Credential);

const KINDS: usize = 7;

const CALLERS: [Kind; KINDS] = [
    ("nobody", || Credential::Nothing),
    ("one whose time is over", || Credential::until("u1", -5)),
    ("a forger", || Credential::forged("u1")),
    ("one that is believed no more", || Credential::revoked("u1")),
    ("another account", || Credential::of("u2")),
    ("a caller for other modules", || Credential::Key),
    ("the account", || Credential::of("u1")),
];

/// How a door is asked.
enum Ask {
    Http {
        method: Method,
        path: &'static str,
        /// JSON; empty = none.
        body: &'static str,
        /// What of the answer is told behind its status, as a JSON pointer; empty = nothing.
        told: &'static str,
    },
}

struct Door {
    name: &'static str,
    ask: Ask,
    /// What each of [`CALLERS`] is told.
    told: [&'static str; KINDS],
}

const fn get(path: &'static str) -> Ask {
    Ask::Http {
        method: Method::GET,
        path,
        body: "",
        told: "",
    }
}

const fn post(path: &'static str, body: &'static str, told: &'static str) -> Ask {
    Ask::Http {
        method: Method::POST,
        path,
        body,
        told,
    }
}

const DOORS: [Door; 20] = [
    Door {
        name: "a legacy poll",
        ask: get("/api/commission/list?uid=u1"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a legacy poll that waits",
        ask: get("/api/commission/list?uid=u1&wait=1"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a legacy poll of everyone's",
        ask: get("/api/commission/list"),
        told: ["401", "401", "401", "401", "200", "403", "200"],
    },
    Door {
        name: "a legacy poll with another client's id",
        ask: get("/api/commission/list?uid=u1&terminal=t7"),
        told: ["401", "401", "401", "401", "403", "403", "403"],
    },
    Door {
        name: "a legacy poll whose path is captured",
        ask: get("/api/of/u1/state"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a legacy poll that names its module",
        ask: get("/api/one?module=commission&uid=u1"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a legacy poll that names a module that there is not",
        ask: get("/api/one?module=nothing&uid=u1"),
        told: ["401", "401", "401", "401", "404", "404", "404"],
    },
    Door {
        name: "a legacy batch",
        ask: post(
            "/api/all",
            r#"{"uid":"u1","cursors":{"commission":0}}"#,
            "/modules/commission/code",
        ),
        told: ["401", "401", "401", "401", "403", "200 403", "200"],
    },
    Door {
        name: "several modules",
        ask: post(
            "/v1/poll",
            r#"{"cursors":{"commission":null},"audience":"u1"}"#,
            "/modules/commission/error",
        ),
        told: ["401", "401", "401", "401", "403", "200 forbidden", "200"],
    },
    Door {
        name: "a stream",
        ask: get("/v1/streams/commission?audience=u1"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "the end of a stream",
        ask: Ask::Http {
            method: Method::HEAD,
            path: "/v1/streams/commission?audience=u1",
            body: "",
            told: "",
        },
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a long poll",
        ask: get("/v1/streams/commission?audience=u1&offset=-1&live=long-poll"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "events",
        ask: get("/v1/streams/commission?audience=u1&offset=-1&live=sse"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a stream that there is not",
        ask: get("/v1/streams/nothing?audience=u1"),
        told: ["401", "401", "401", "401", "404", "404", "404"],
    },
    Door {
        name: "a snapshot",
        ask: get("/v1/modules/commission/snapshot?audience=u1"),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a session for a module",
        ask: post(
            "/v1/session",
            r#"{"client_id":"u1","audience":"u1","modules":["commission"]}"#,
            "",
        ),
        told: ["401", "401", "401", "401", "403", "403", "200"],
    },
    Door {
        name: "a session",
        ask: post(
            "/v1/session",
            r#"{"audience":"u1"}"#,
            "/modules/stock/transport",
        ),
        told: ["401", "401", "401", "401", "403", "200 poll", "200"],
    },
    Door {
        name: "all flags",
        ask: post(
            "/ofrep/v1/evaluate/flags",
            r#"{"context":{"targetingKey":"u1","audience":"u1"}}"#,
            "/flags/0/key",
        ),
        told: [
            "401",
            "401",
            "401",
            "401",
            "403",
            "200 module.stock",
            "200 module.commission",
        ],
    },
    Door {
        name: "a flag",
        ask: post(
            "/ofrep/v1/evaluate/flags/module.commission",
            r#"{"context":{"targetingKey":"u1","audience":"u1"}}"#,
            "/value",
        ),
        told: ["401", "401", "401", "401", "403", "404", "200 poll"],
    },
    Door {
        name: "events of flags",
        ask: get("/ofrep/v1/sse?targetingKey=u1&audience=u1"),
        told: ["401", "401", "401", "401", "403", "200", "200"],
    },
];

const MODULES: &str = r#"
[[modules]]
name = "commission"
callers = ["accounts"]
[modules.poll]
path = "/api/commission/list"
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }
client = { in = "query", name = "terminal" }
wait = { in = "query", name = "wait", max_ms = 1000 }

[[modules]]
name = "stock"
callers = ["shops"]

[[endpoints]]
modules = ["commission"]
[endpoints.poll]
path = "/api/of/{account}/state"
cursor = { kind = "none" }
audience = { in = "path", name = "account" }

[[endpoints]]
modules = ["commission", "stock"]
module = { in = "query", name = "module" }
[endpoints.poll]
path = "/api/one"
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }

[[endpoints]]
modules = ["commission", "stock"]
[endpoints.batch]
cursors = { name = "/cursors" }
[endpoints.poll]
path = "/api/all"
methods = ["POST"]
audience = { in = "json", name = "/uid" }
"#;

async fn gateway() -> InProcess {
    let database = sqlite().await;
    let setup = Setup::new(&database, "a").modules(MODULES);
    started(&setup.add(&callers::auth())).await
}

/// Starts it, with a change in its log.
async fn started(setup: &Setup) -> InProcess {
    let gateway = InProcess::start(setup).await;
    let changes = json!([{"key": "k", "audience": "u1", "value": 1}]);
    gateway.client.ingest(&changes).await;
    let module: ModuleName = "commission".parse().unwrap();
    let client = &gateway.client;
    let answer = crate::support::eventually("it is numbered", PATIENCE, async || {
        let url = format!("{}/v1/streams/{module}", client.public);
        let request = Credential::of("u1").on(client.http.get(url));
        let answer = client.send(request).await;
        (answer.text.len() > 2).then_some(answer)
    });
    answer.await;
    gateway
}

impl Ask {
    async fn told(&self, client: &Client, credential: &Credential) -> String {
        let Self::Http {
            method,
            path,
            body,
            told,
        } = self;
        let url = format!("{}{path}", client.public);
        let request = client.http.request(method.clone(), url);
        let request = credential.on(request.body(*body));
        let response = within("an answer", PATIENCE, request.send()).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(
            response.headers().contains_key("www-authenticate"),
            status == 401,
            "{response:?}"
        );
        let answer: Value = if told.is_empty() || status >= 400 {
            Value::Null
        } else {
            response.json().await.unwrap()
        };
        match answer.pointer(told).filter(|_| !told.is_empty()) {
            Some(Value::String(text)) => format!("{status} {text}"),
            Some(value) => format!("{status} {value}"),
            None => status.to_string(),
        }
    }
}

#[tokio::test]
async fn every_caller_at_every_door() {
    let gateway = gateway().await;
    let mut seen = Seen::default();
    for door in &DOORS {
        for ((who, credential), expected) in CALLERS.iter().zip(door.told) {
            let told = door.ask.told(&gateway.client, &credential()).await;
            seen.told((door.name, who), &told, expected);
        }
    }
    seen.all(DOORS.len());
    gateway.stop().await;
}

/// What was told, as far as it is wrong.
#[derive(Default)]
struct Seen {
    count: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn told(&mut self, (door, who): (&str, &str), told: &str, expected: &str) {
        self.count += 1;
        if told != expected {
            let wrong = format!("{door}: {who} is told {told}, not {expected}");
            self.wrong.push(wrong);
        }
    }

    /// Each kind at so many doors.
    #[track_caller]
    fn all(self, doors: usize) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        assert_eq!(self.count, doors * KINDS);
    }
}
