//! What the hooks must hold whatever a broker's clients make it ask.
//!
//! A client chooses its user name, password, client id and topics. Invariants: who is let in has shown exactly what he was given; a client
//! subscribes to its own topics, all of them, and publishes nothing; who says to be one of ours and is not is refused, and nobody else is asked.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{HookState, WrongLogins, emqx, rabbitmq, vernemq};
use crate::{
    config::{Config, auth::Auth, broker_hooks::Others},
    domain::strangers::Pieces,
    identity::{
        Identity, Who,
        passes::{Issued, PREFIX, Passes},
        testing,
    },
    mirror::{Access, Hooks, Logins, Verdict},
};

const CLIENT: &str = "ABCDEFGHIJKL-t1";
const OTHER_CLIENT: &str = "ABCDEFGHIJKL-t2";

/// What the client may subscribe to, and nothing else.
const OWN: [&str; 3] = [
    "changeover/c/m1/_all",
    "changeover/c/m1/u1",
    "changeover/m/m1",
];

const GATEWAY: (&str, &str) = ("gateway", "s3cret");
const CONFIG: &str = "[[modules]]\nname = \"m1\"\n[[mqtt.targets]]\nname = \"away\"\n\
    url = \"mqtt://gateway:s3cret@127.0.0.1:1\"\nprofile = \"emqx\"\n";

/// The hooks, and what clients of theirs were given.
struct Bench {
    state: HookState,
    issued: Issued,
    /// The same user name, but of another audience.
    forged: String,
    /// What another client was given.
    others: Issued,
}

/// What somebody wants to do.
#[derive(Clone, Copy)]
struct Act<'a> {
    user: &'a str,
    /// As the broker tells it, if it does.
    client_id: Option<&'a str>,
    publishes: bool,
    topic: &'a str,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let config: Config = toml::from_str(CONFIG).expect("a configuration");
    let identity = Identity::of(["jwt".into()], HashMap::new());
    let passes = testing::passes(identity, Duration::from_hours(24 * 365));
    let issued = given(&passes, CLIENT, "u1");
    let others = given(&passes, OTHER_CLIENT, "u2");
    let access = Access::new(&config, passes, |_| true);
    let logins = Arc::new(Logins::new(&config));
    logins.refresh();
    let hooks = Hooks::new(access, logins, "changeover", Others::Ignore);
    Bench {
        state: HookState {
            hooks: Arc::new(hooks),
            vhost: "/".into(),
            wrong: Arc::new(WrongLogins::new(&Auth::default())),
        },
        forged: of_another(&issued.username),
        issued,
        others,
    }
});

/// A pass of a client that reads one audience besides everyone's.
fn given(passes: &Passes, client_id: &str, audience: &str) -> Issued {
    let caller = testing::caller(audience, &[audience]);
    let audiences = Arc::clone(&caller.audiences);
    let issued = passes.issue(&Who::Known(Arc::new(caller)), &audiences, client_id);
    issued.expect("there is a key")
}

/// A user name that says to be of the audience `u2`, with the proof of the one of `u1`.
fn of_another(username: &str) -> String {
    let written = username.strip_prefix(PREFIX).expect("it is one of ours");
    let mut body = URL_SAFE_NO_PAD.decode(written).expect("base64");
    let at = body.windows(4).position(|part| part == b"\0\x02u1");
    body[at.expect("it names its audience") + 3] = b'2';
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body))
}

const HOOKS: [&str; 6] = [
    "auth_on_register",
    "auth_on_subscribe",
    "auth_on_publish",
    "auth_on_register_m5",
    "auth_on_subscribe_m5",
    "auth_on_publish_m5",
];

/// Asks each broker's questions. `$NAME` and `$PASS` in a body are what a client was given: nobody guesses these. `$OTHERS` is the password of
/// another, `$FORGED` the name with another's audience.
pub fn hooks(input: &[u8]) {
    let bench = &*BENCH;
    let mut pieces = Pieces::of(input);
    let (broker, hook) = (pieces.choice(4), pieces.choice(HOOKS.len()));
    let mut body = String::from_utf8_lossy(pieces.bytes().unwrap_or_default()).into_owned();
    for (word, meant) in [
        ("$NAME", &bench.issued.username),
        ("$PASS", &bench.issued.password),
        ("$OTHERS", &bench.others.password),
        ("$FORGED", &bench.forged),
    ] {
        if body.contains(word) {
            body = body.replace(word, meant);
        }
    }
    let body = body.as_bytes();
    match broker {
        0 => bench.emqx_login(body),
        1 => bench.emqx_act(body),
        2 => bench.vernemq(HOOKS[hook], body),
        _ => bench.rabbitmq(hook, body),
    }
}

impl Bench {
    fn emqx_login(&self, body: &[u8]) {
        let asked: emqx::EmqxAuthenticate = emqx::taken_apart(body);
        let answer = emqx::authenticated(&self.state, &asked);
        let shown = [&asked.clientid, &asked.username, &asked.password];
        let shown = shown.map(|field| text(field.as_ref()));
        let is_in = is_yes(answer.result, &["allow", "deny", "ignore"]);
        self.has_shown(is_in, shown);
        is_asked_here(answer.result, shown[1]);
        let told = serde_json::to_value(&answer).expect("an answer is JSON");
        if is_in {
            rules_are_own(&told, shown[1] == GATEWAY.0);
        } else {
            assert_eq!(told, json!({"result": answer.result}), "nothing is granted");
        }
    }

    fn emqx_act(&self, body: &[u8]) {
        let asked: emqx::EmqxAuthorize = emqx::taken_apart(body);
        let answer = emqx::authorized(&self.state, &asked);
        let action = text(asked.action.as_ref());
        let act = Act {
            user: text(asked.username.as_ref()),
            client_id: asked.clientid.as_deref(),
            publishes: action == "publish",
            topic: text(asked.topic.as_ref()),
        };
        let may = is_yes(answer.result, &["allow", "deny", "ignore"]);
        let is_act = ["publish", "subscribe"].contains(&action);
        assert_eq!(may, is_act && self.may(&act), "{}", act.topic);
        is_asked_here(answer.result, act.user);
    }

    fn vernemq(&self, hook: &str, body: &[u8]) {
        let asked = vernemq::taken_apart(body);
        let answer = vernemq::answered(&self.state, hook, &asked);
        let word = answer["result"].as_str().unwrap_or("not_allowed");
        let is_yes = is_yes(word, &["ok", "next", "not_allowed"]);
        let act = |publishes| Act {
            user: text(asked.username.as_ref()),
            client_id: asked.client_id.as_deref(),
            publishes,
            topic: text(asked.topic.as_ref()),
        };
        is_asked_here(word, act(false).user);
        if hook.starts_with("auth_on_register") {
            let shown = [&asked.client_id, &asked.username, &asked.password];
            self.has_shown(is_yes, shown.map(|field| text(field.as_ref())));
        } else if hook.starts_with("auth_on_publish") {
            assert_eq!(is_yes, self.may(&act(true)), "{:?}", asked.topic);
        } else {
            let judged = match hook {
                "auth_on_subscribe" => &answer["topics"],
                _ => &answer["modifiers"]["topics"],
            };
            self.each_in_its_place(is_yes, &asked.topics, judged, act(false));
        }
    }

    /// All filters alike, or each by its QoS, of which 128 is a refusal.
    fn each_in_its_place(&self, is_yes: bool, asked: &[vernemq::Filter], judged: &Value, act: Act) {
        let judged = judged.as_array();
        assert!(judged.is_none_or(|all| is_yes && all.len() == asked.len()));
        assert!(!is_yes || !asked.is_empty(), "nothing is no grant");
        for (n, filter) in asked.iter().enumerate() {
            let topic = &*filter.topic;
            let may = self.may(&Act { topic, ..act });
            match judged {
                None => assert!(!is_yes || may, "{topic}"),
                Some(all) => {
                    let qos = if may { filter.qos } else { 128 };
                    assert_eq!(all[n], json!({"topic": topic, "qos": qos}));
                }
            }
        }
        let mut topics = asked.iter().map(|filter| &*filter.topic);
        let none = !topics.any(|topic| self.may(&Act { topic, ..act }));
        assert!(is_yes || none, "what is its own is granted");
    }

    fn rabbitmq(&self, path: usize, body: &[u8]) {
        let asked = rabbitmq::read(body);
        let (user, is_here) = (&*asked.username, asked.vhost == "/");
        let (granted, right) = match path {
            0 => {
                let word = rabbitmq::user_answer(&self.state, &asked);
                let is_in = is_yes(word, &["allow", "deny"]);
                return self.has_shown(is_in, [&asked.client_id, user, &asked.password]);
            }
            1 => {
                let act = Act {
                    user,
                    client_id: asked.of_client.as_deref(),
                    publishes: asked.permission == "write",
                    topic: &asked.routing_key.replace('.', "/").replace('*', "+"),
                };
                let is_act = ["read", "write"].contains(&&*asked.permission);
                let is_right = asked.name == "amq.topic" && is_act && self.may(&act);
                (rabbitmq::topic_verdict(&self.state, &asked), is_right)
            }
            2 => {
                let verdict = rabbitmq::vhost_verdict(&self.state, &asked);
                (verdict, self.is_known(user))
            }
            _ => {
                let verdict = rabbitmq::resource_verdict(&self.state, &asked);
                (verdict, self.has(&asked))
            }
        };
        assert_eq!(granted == Verdict::Allow, is_here && right, "{asked:?}");
    }

    /// Whether a resource of RabbitMQ is this user's.
    fn has(&self, asked: &rabbitmq::Question) -> bool {
        let (user, name) = (&*asked.username, &*asked.name);
        let is_gateway = user == GATEWAY.0;
        match (&*asked.resource, &*asked.permission) {
            ("exchange", "read") => name == "amq.topic" && self.is_known(user),
            ("exchange", "write") => name == "amq.topic" && is_gateway,
            ("queue", "configure" | "write" | "read") => {
                let own = ["0", "1"].map(|qos| format!("mqtt-subscription-{CLIENT}qos{qos}"));
                let is_own = user == self.issued.username && own.iter().any(|own| own == name);
                let gateways = name.starts_with("mqtt-subscription-changeover")
                    && (name.ends_with("qos0") || name.ends_with("qos1"));
                is_own || is_gateway && gateways
            }
            _ => false,
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

    /// Whether it is right to do this: no more and no less.
    fn may(&self, act: &Act) -> bool {
        let shared = act.topic.strip_prefix("$share/").map(|shared| {
            let (group, filter) = shared.split_once('/').unwrap_or_default();
            let is_group = !group.is_empty() && !group.contains(['+', '#']);
            if is_group { filter } else { "" }
        });
        let is_own = OWN.contains(&shared.unwrap_or(act.topic));
        let is_its_client = act.client_id.is_none_or(|id| id == CLIENT);
        let is_gateways = act.user == GATEWAY.0 && act.topic.starts_with("changeover/");
        is_gateways || act.user == self.issued.username && is_its_client && !act.publishes && is_own
    }
}

/// Names of ours are not for somebody else to judge, who might know another password for them.
fn is_asked_here(word: &str, user: &str) {
    let is_ours = user == GATEWAY.0 || user.starts_with(PREFIX);
    assert!(!is_ours || !["ignore", "next"].contains(&word), "{user}");
}

/// What a login of EMQX grants in advance: what is its own, and everything else is refused.
fn rules_are_own(told: &Value, is_gateway: bool) {
    assert_eq!(told["is_superuser"], false);
    let rules = told["acl"].as_array().expect("rules");
    let allowed = |rule: &&Value| rule["permission"] == "allow";
    let granted: Vec<_> = rules.iter().take_while(allowed).collect();
    let expected = if is_gateway {
        vec![json!({"permission": "allow", "action": "all", "topic": "changeover/#"})]
    } else {
        OWN.map(|own| json!({"permission": "allow", "action": "subscribe", "topic": format!("eq {own}")}))
            .into()
    };
    assert!(granted.into_iter().eq(&expected), "{told}");
    let denied = &rules[expected.len()..];
    assert!(
        denied
            .iter()
            .all(|rule| rule["permission"] == "deny" && rule["action"] == "all")
    );
    assert!(
        denied.iter().any(|rule| rule["topic"] == "#"),
        "the rest is refused"
    );
}

fn is_yes(word: &str, known: &[&str]) -> bool {
    assert!(known.contains(&word), "{word}");
    known[0] == word
}

fn text(field: Option<&String>) -> &str {
    field.map(String::as_str).unwrap_or_default()
}
