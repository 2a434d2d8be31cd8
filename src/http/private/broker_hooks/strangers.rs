//! What the hooks must hold whatever a broker's clients make it ask.
//!
//! A client chooses its user name, password, client id and topics. Invariant: who is let in has shown exactly what he was given; a client
//! subscribes to its own topics and publishes nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::{HookState, WrongLogins, emqx, rabbitmq, vernemq};
use crate::{
    config::{Config, auth::Auth, broker_hooks::Others},
    domain::{Audience, Clock, SystemClock, strangers::Pieces},
    identity::{
        Caller, ClientIds, Identity, Who,
        passes::{Issued, KeyRing, Passes},
    },
    mirror::{Access, Hooks, Logins, Verdict},
    store::{SigningKey, SigningKeysRead},
};

const CLIENT: &str = "ABCDEFGHIJKL-t1";
const GATEWAY: (&str, &str) = ("gateway", "s3cret");
const CONFIG: &str = "[[modules]]\nname = \"m1\"\n[[mqtt.targets]]\nname = \"away\"\n\
    url = \"mqtt://gateway:s3cret@127.0.0.1:1\"\nprofile = \"emqx\"\n";

/// The hooks, what a client of theirs was given, and what it may subscribe to.
struct Bench {
    state: HookState,
    issued: Issued,
    own: BTreeSet<String>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let config: Config = toml::from_str(CONFIG).expect("a configuration");
    let identity = Arc::new(Identity::of(["jwt".into()], HashMap::new()));
    let (ring, now) = (Arc::<KeyRing>::default(), SystemClock.now());
    let key = SigningKey {
        id: "1".to_owned(),
        secret: vec![7; 32],
        signs_from: now,
        retires_at: None,
    };
    let keys = vec![key];
    ring.adopt(&SigningKeysRead { now, keys }, (now, now));
    let lifetime = Duration::from_hours(24 * 365);
    let passes = Arc::new(Passes::new(identity, ring, Arc::new(SystemClock), lifetime));
    let audiences: Arc<[Audience]> = Arc::new([Audience::stored("u1")]);
    let caller = Who::Known(Arc::new(Caller {
        by: 0,
        realm: "jwt".into(),
        id: "u1".into(),
        client_ids: ClientIds::Own,
        audiences: Arc::clone(&audiences),
        claims: Box::default(),
        agent: None,
        expires_at: None,
    }));
    let issued = passes.issue(&caller, &audiences, CLIENT);
    let issued = issued.expect("there is a key");
    let access = Access::new(&config, passes, |_| true);
    let pass = access.named(&issued.username).expect("a name of ours");
    let own = access.topics_of(&pass, 1_000).expect("some topics");
    let logins = Arc::new(Logins::new(&config));
    logins.refresh();
    let hooks = Hooks::new(access, logins, "changeover", Others::Ignore);
    Bench {
        state: HookState {
            hooks: Arc::new(hooks),
            vhost: "/".into(),
            wrong: Arc::new(WrongLogins::new(&Auth::default())),
        },
        issued,
        own: own.into_iter().collect(),
    }
});

const HOOKS: [&str; 6] = [
    "auth_on_register",
    "auth_on_subscribe",
    "auth_on_publish",
    "auth_on_register_m5",
    "auth_on_subscribe_m5",
    "auth_on_publish_m5",
];

/// Asks each broker's questions. `$NAME` and `$PASS` in a body are what a client was given: nobody guesses these.
pub fn hooks(input: &[u8]) {
    let bench = &*BENCH;
    let mut pieces = Pieces::of(input);
    let (broker, hook) = (pieces.choice(4), pieces.choice(HOOKS.len()));
    let body = String::from_utf8_lossy(pieces.bytes().unwrap_or_default());
    let body = body.replace("$NAME", &bench.issued.username);
    let body = body.replace("$PASS", &bench.issued.password).into_bytes();
    match broker {
        0 => bench.emqx_login(&body),
        1 => bench.emqx_act(&body),
        2 => bench.vernemq(HOOKS[hook], &body),
        _ => bench.rabbitmq(hook, &body),
    }
}

impl Bench {
    fn emqx_login(&self, body: &[u8]) {
        let asked: emqx::EmqxAuthenticate = emqx::taken_apart(body);
        let answer = emqx::authenticated(&self.state, &asked);
        let is_in = is_yes(answer.result, &["allow", "deny", "ignore"]);
        self.has_shown(
            is_in,
            [&asked.clientid, &asked.username, &asked.password].map(|field| text(field.as_ref())),
        );
    }

    fn emqx_act(&self, body: &[u8]) {
        let asked: emqx::EmqxAuthorize = emqx::taken_apart(body);
        let answer = emqx::authorized(&self.state, &asked);
        let may = is_yes(answer.result, &["allow", "deny", "ignore"]);
        let publishes = text(asked.action.as_ref()) == "publish";
        self.may_do(
            may,
            text(asked.username.as_ref()),
            publishes,
            text(asked.topic.as_ref()),
        );
    }

    fn vernemq(&self, hook: &str, body: &[u8]) {
        let asked = vernemq::taken_apart(body);
        let answer = vernemq::answered(&self.state, hook, &asked);
        let word = answer["result"].as_str().unwrap_or("not_allowed");
        let is_yes = is_yes(word, &["ok", "next", "not_allowed"]);
        let user = text(asked.username.as_ref());
        if hook.starts_with("auth_on_register") {
            let shown = [&asked.client_id, &asked.username, &asked.password];
            self.has_shown(is_yes, shown.map(|field| text(field.as_ref())));
        } else if hook.starts_with("auth_on_publish") {
            self.may_do(is_yes, user, true, text(asked.topic.as_ref()));
        } else {
            let judged = answer["topics"].as_array();
            let judged = judged.or_else(|| answer["modifiers"]["topics"].as_array());
            for (n, filter) in asked.topics.iter().enumerate() {
                let is_refused = |all: &Vec<serde_json::Value>| all[n]["qos"] == 128;
                let granted = is_yes && !judged.is_some_and(is_refused);
                self.may_do(granted, user, false, &filter.topic);
            }
        }
    }

    fn rabbitmq(&self, path: usize, body: &[u8]) {
        let asked = rabbitmq::read(body);
        let user = &*asked.username;
        match path {
            0 => {
                let word = rabbitmq::user_answer(&self.state, &asked);
                let is_in = is_yes(word, &["allow", "deny"]);
                self.has_shown(is_in, [&asked.client_id, user, &asked.password]);
            }
            1 => {
                let may = rabbitmq::topic_verdict(&self.state, &asked) == Verdict::Allow;
                let topic = asked.routing_key.replace('.', "/").replace('*', "+");
                self.may_do(may, user, asked.permission == "write", &topic);
                assert!(!may || asked.name == "amq.topic" && asked.vhost == "/");
            }
            2 => {
                let may = rabbitmq::vhost_verdict(&self.state, &asked) == Verdict::Allow;
                assert!(!may || self.is_known(user) && asked.vhost == "/");
            }
            _ => {
                let may = rabbitmq::resource_verdict(&self.state, &asked) == Verdict::Allow;
                let writes = asked.resource == "exchange" && asked.permission == "write";
                assert!(!may || self.is_known(user) && asked.vhost == "/");
                assert!(!may || !writes || user == GATEWAY.0);
            }
        }
    }

    fn is_known(&self, user: &str) -> bool {
        [GATEWAY.0, &self.issued.username].contains(&user)
    }

    fn has_shown(&self, is_in: bool, shown: [&str; 3]) {
        let Issued { username, password } = &self.issued;
        let [client_id, user, pass] = shown;
        let is_gateway = (user, pass) == GATEWAY && client_id.starts_with("changeover");
        assert_eq!(
            is_in,
            is_gateway || shown == [CLIENT, username, password],
            "{client_id}"
        );
    }

    fn may_do(&self, may: bool, user: &str, publishes: bool, topic: &str) {
        let shared = topic.strip_prefix("$share/");
        let filter = shared.and_then(|rest| Some(rest.split_once('/')?.1));
        let is_own = self.own.contains(filter.unwrap_or(topic));
        let is_gateways = user == GATEWAY.0 && topic.starts_with("changeover/");
        let is_clients = user == self.issued.username && !publishes && is_own;
        assert!(!may || is_gateways || is_clients, "{topic}");
    }
}

fn is_yes(word: &str, known: &[&str]) -> bool {
    assert!(known.contains(&word), "{word}");
    known[0] == word
}

fn text(field: Option<&String>) -> &str {
    field.map(String::as_str).unwrap_or_default()
}
