//! The hooks of EMQX, VerneMQ and RabbitMQ by their documented requests and answers, field by field; and the door before them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Answer, Client, InProcess, Setup},
};

const SECRET: &str = "hooks-secret-0123456789";
const OWN: &str = "changeover/c/commission/u1";
const OTHERS: &str = "changeover/c/commission/u2";

struct Asked {
    gateway: InProcess,
    client_id: String,
    username: String,
    password: String,
}

impl Asked {
    async fn start(others: &str) -> Self {
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let target = "\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://gateway:s3cret@127.0.0.1:1\"\nprofile = \"emqx\"\n";
        let setup = Setup::new(&database, "gw-1")
            .add(target)
            .set("broker_hooks.secret", SECRET)
            .set("broker_hooks.others", others)
            .set("guard.enabled", false);
        let gateway = InProcess::start(&setup).await;
        let client = &gateway.client;
        let body = json!({"client_id": "t1", "audience": "u1"});
        let asked = client.http.post(format!("{}/v1/session", client.public));
        let told = client.send(asked.json(&body)).await.json();
        let text = |name: &str| told["mqtt"][name].as_str().unwrap().to_owned();
        Self {
            client_id: text("client_id"),
            username: text("username"),
            password: text("password"),
            gateway,
        }
    }

    fn client(&self) -> &Client {
        &self.gateway.client
    }

    async fn emqx(&self, path: &str, body: &Value) -> Value {
        let path = format!("/broker/{SECRET}/emqx/{path}");
        let answer = self.client().post(&path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    async fn vernemq(&self, hook: &str, body: &Value) -> Value {
        let client = self.client();
        let path = format!("{}/broker/{SECRET}/vernemq", client.private);
        let asked = client.http.post(path).header("vernemq-hook", hook);
        let answer = client.send(asked.json(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "");
        answer.json()
    }

    /// Asked by form, and by query: both say the same.
    async fn rabbitmq(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let client = self.client();
        let url = format!("{}/broker/{SECRET}/rabbitmq/{path}", client.private);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let posted = client.http.post(&url).body(form.clone());
        let posted = posted.header("content-type", "application/x-www-form-urlencoded");
        let by_form = client.send(posted).await;
        let by_query = client.send(client.http.get(format!("{url}?{form}"))).await;
        for answer in [&by_form, &by_query] {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert!(answer.header("content-type").starts_with("text/plain"));
        }
        assert_eq!(by_form.text, by_query.text);
        by_form.text
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn emqx_authenticates_and_authorizes() {
    let asked = Asked::start("deny").await;
    let (user, pass, id) = (&asked.username, &asked.password, &asked.client_id);
    let login = |username: &str, password: &str, clientid: &str| json!({"username": username, "password": password, "clientid": clientid, "peerhost": "10.0.0.7"});
    let right = asked.emqx("authenticate", &login(user, pass, id)).await;
    assert_eq!(right["result"], "allow");
    assert_eq!(right["is_superuser"], false);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let left = right["expire_at"]
        .as_u64()
        .unwrap()
        .checked_sub(now)
        .unwrap();
    assert!(
        (4_000..=4_600).contains(&left),
        "seconds, and in the future: {left}"
    );
    let rules = right["acl"].as_array().unwrap();
    let allowed: Vec<_> = rules
        .iter()
        .filter(|rule| rule["permission"] == "allow")
        .collect();
    for rule in &allowed {
        assert_eq!(rule["action"], "subscribe");
        assert!(
            rule["topic"]
                .as_str()
                .unwrap()
                .starts_with("eq changeover/"),
            "{rule}"
        );
    }
    assert_eq!(allowed.len(), 6, "{rules:?}");
    let own = json!({"permission": "allow", "action": "subscribe", "topic": format!("eq {OWN}")});
    assert!(rules.contains(&own), "{rules:?}");
    let last = json!({"permission": "deny", "action": "all", "topic": "#"});
    assert_eq!(rules.last(), Some(&last));

    let gateway = asked
        .emqx(
            "authenticate",
            &login("gateway", "s3cret", "changeover-gw-1-1"),
        )
        .await;
    assert_eq!(gateway["result"], "allow");
    assert_eq!(gateway["is_superuser"], false);
    let all = json!({"permission": "allow", "action": "all", "topic": "changeover/#"});
    assert_eq!(gateway["acl"][0], all);
    let deny = json!({"result": "deny"});
    for wrong in [
        login(user, pass, "another"),
        login(user, "", id),
        login(user, &pass[1..], id),
        login("gateway", "guess", "changeover-gw-1-1"),
        login("gateway", "s3cret", "elsewhere"),
        login("somebody", "else", "x"),
        login("", "", ""),
        json!({}),
        json!([]),
        json!({"username": 7}),
        json!({"username": null, "password": null, "clientid": null}),
    ] {
        assert_eq!(asked.emqx("authenticate", &wrong).await, deny, "{wrong}");
    }

    let may = |username: &str, clientid: &str, action: &str, topic: &str| json!({"username": username, "clientid": clientid, "action": action, "topic": topic, "qos": "1", "retain": "false"});
    for (body, wanted) in [
        (may(user, id, "subscribe", OWN), "allow"),
        (
            may(user, id, "subscribe", "changeover/m/commission"),
            "allow",
        ),
        (may(user, id, "subscribe", OTHERS), "deny"),
        (
            may(user, id, "subscribe", "changeover/c/commission/+"),
            "deny",
        ),
        (
            may(user, id, "subscribe", "$share/g/changeover/c/commission/#"),
            "deny",
        ),
        (may(user, "another", "subscribe", OWN), "deny"),
        (may(user, id, "publish", OWN), "deny"),
        (may(user, id, "own", OWN), "deny"),
        (may("gateway", "changeover-gw-1-1", "publish", OWN), "allow"),
        (
            may(
                "gateway",
                "changeover-gw-1-1",
                "subscribe",
                "changeover/c/+/+",
            ),
            "allow",
        ),
        (
            may("gateway", "changeover-gw-1-1", "publish", "elsewhere"),
            "deny",
        ),
        (
            may("gateway", "changeover-gw-1-1", "subscribe", "#"),
            "deny",
        ),
        (may("somebody", "x", "subscribe", OWN), "deny"),
        (json!("?"), "deny"),
    ] {
        let told = asked.emqx("authorize", &body).await;
        assert_eq!(told, json!({"result": wanted}), "{body}");
    }
    asked.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vernemq_registers_subscribes_and_publishes() {
    let asked = Asked::start("deny").await;
    let ok = json!({"result": "ok"});
    let refused = json!({"result": {"error": "not_allowed"}});
    let (user, id) = (&asked.username, &asked.client_id);
    let login = |username: &str, password: &str| {
        json!({"peer_addr": "10.0.0.7", "peer_port": 5000, "username": username, "password": password,
            "mountpoint": "", "client_id": id, "clean_session": false})
    };
    let topic = |topic: &str| json!({"topic": topic, "qos": 1});
    let filters = |topics: &[&str]| {
        let topics: Vec<_> = topics.iter().map(|name| topic(name)).collect();
        json!({"username": user, "client_id": id, "mountpoint": "", "topics": topics})
    };
    let mixed = [
        json!({"topic": OWN, "qos": 1}),
        json!({"topic": OTHERS, "qos": 128}),
    ];
    for (end, judged) in [
        ("", json!({"result": "ok", "topics": mixed})),
        (
            "_m5",
            json!({"result": "ok", "modifiers": {"topics": mixed}}),
        ),
    ] {
        let hook = format!("auth_on_register{end}");
        assert_eq!(
            asked.vernemq(&hook, &login(user, &asked.password)).await,
            ok
        );
        for wrong in [login(user, "x"), login("x", "x"), json!({}), json!(7)] {
            assert_eq!(asked.vernemq(&hook, &wrong).await, refused, "{wrong}");
        }
        let hook = format!("auth_on_subscribe{end}");
        assert_eq!(asked.vernemq(&hook, &filters(&[OWN])).await, ok);
        assert_eq!(asked.vernemq(&hook, &filters(&[OWN, OTHERS])).await, judged);
        assert_eq!(asked.vernemq(&hook, &filters(&[])).await, refused);
        let hook = format!("auth_on_publish{end}");
        let publish = |username: &str, topic: &str| {
            json!({"username": username, "client_id": id, "mountpoint": "", "qos": 1, "topic": topic,
                "payload": "eA==", "retain": false})
        };
        assert_eq!(asked.vernemq(&hook, &publish(user, OWN)).await, refused);
        let gateways = json!({"username": "gateway", "topic": OWN});
        assert_eq!(asked.vernemq(&hook, &gateways).await, ok);
    }
    let next = json!({"result": "next"});
    assert_eq!(asked.vernemq("on_register", &json!({})).await, next);
    asked.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn rabbitmq_asks_about_each_thing() {
    let asked = Asked::start("ignore").await;
    let (user, pass, id) = (&*asked.username, &*asked.password, &*asked.client_id);
    let queue = format!("mqtt-subscription-{id}qos1");
    let other_queue = format!("mqtt-subscription-{id}xqos1");
    let user_of = |username, password, client_id| {
        vec![
            ("username", username),
            ("password", password),
            ("vhost", "/"),
            ("client_id", client_id),
        ]
    };
    let thing = |username, resource, name, permission| {
        vec![
            ("username", username),
            ("vhost", "/"),
            ("resource", resource),
            ("name", name),
            ("permission", permission),
            ("tags", ""),
        ]
    };
    let topic = |username, key, permission| {
        vec![
            ("username", username),
            ("vhost", "/"),
            ("resource", "topic"),
            ("name", "amq.topic"),
            ("routing_key", key),
            ("permission", permission),
            ("variable_map.client_id", id),
        ]
    };
    for (path, fields, wanted) in [
        ("user", user_of(user, pass, id), "allow"),
        ("user", user_of(user, pass, "another"), "deny"),
        ("user", user_of(user, "x", id), "deny"),
        (
            "user",
            user_of("gateway", "s3cret", "changeover-gw-1-1"),
            "allow",
        ),
        ("user", user_of("gateway", "x", "changeover-gw-1-1"), "deny"),
        // RabbitMQ knows no other word, whatever is configured.
        ("user", user_of("guest", "guest", "x"), "deny"),
        ("user", vec![], "deny"),
        (
            "vhost",
            vec![("username", user), ("vhost", "/"), ("ip", "10.0.0.7")],
            "allow",
        ),
        (
            "vhost",
            vec![("username", "gateway"), ("vhost", "/")],
            "allow",
        ),
        ("vhost", vec![("username", "guest"), ("vhost", "/")], "deny"),
        (
            "vhost",
            vec![("username", user), ("vhost", "other")],
            "deny",
        ),
        (
            "vhost",
            vec![("username", "gateway"), ("vhost", "other")],
            "deny",
        ),
        (
            "resource",
            thing(user, "queue", &queue, "configure"),
            "allow",
        ),
        ("resource", thing(user, "queue", &queue, "write"), "allow"),
        ("resource", thing(user, "queue", &queue, "read"), "allow"),
        (
            "resource",
            thing(user, "queue", &other_queue, "read"),
            "deny",
        ),
        ("resource", thing(user, "queue", "orders", "read"), "deny"),
        (
            "resource",
            thing(user, "exchange", "amq.topic", "read"),
            "allow",
        ),
        (
            "resource",
            thing(user, "exchange", "amq.topic", "write"),
            "deny",
        ),
        (
            "resource",
            thing(user, "exchange", "amq.topic", "configure"),
            "deny",
        ),
        (
            "resource",
            thing(user, "exchange", "amq.direct", "read"),
            "deny",
        ),
        (
            "resource",
            thing("gateway", "exchange", "amq.topic", "write"),
            "allow",
        ),
        (
            "resource",
            thing("guest", "exchange", "amq.topic", "read"),
            "deny",
        ),
        (
            "topic",
            topic(user, "changeover.c.commission.u1", "read"),
            "allow",
        ),
        (
            "topic",
            topic(user, "changeover.m.commission", "read"),
            "allow",
        ),
        (
            "topic",
            topic(user, "changeover.c.commission.u2", "read"),
            "deny",
        ),
        (
            "topic",
            topic(user, "changeover.c.commission.*", "read"),
            "deny",
        ),
        (
            "topic",
            topic(user, "changeover.c.commission.#", "read"),
            "deny",
        ),
        ("topic", topic(user, "#", "read"), "deny"),
        (
            "topic",
            topic(user, "changeover.c.commission.u1", "write"),
            "deny",
        ),
        (
            "topic",
            topic("gateway", "changeover.c.*.*", "read"),
            "allow",
        ),
        (
            "topic",
            topic("gateway", "changeover.c.commission.u1", "write"),
            "allow",
        ),
        ("topic", topic("gateway", "elsewhere", "write"), "deny"),
    ] {
        let told = asked.rabbitmq(path, &fields).await;
        assert_eq!(told, wanted, "{path} {fields:?}");
    }
    // A broker that knows such an answer is sent to somebody else.
    let body = json!({"username": "guest", "password": "guest", "clientid": "x"});
    assert_eq!(
        asked.emqx("authenticate", &body).await,
        json!({"result": "ignore"})
    );
    let body = json!({"username": user, "password": "x", "clientid": id});
    assert_eq!(
        asked.emqx("authenticate", &body).await,
        json!({"result": "deny"})
    );
    asked.gateway.stop().await;
}

async fn knock(client: &Client, secret: &str) -> Answer {
    let path = format!("{}/broker/{secret}/emqx/authenticate", client.private);
    client.send(client.http.post(path).body("{}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_secret_or_from_elsewhere_there_is_nothing() {
    let asked = Asked::start("deny").await;
    let nothing = asked.client().get("/no/such/path").await;
    let wrong = [
        "x",
        "hooks-secret-012345678",
        "hooks-secret-0123456789x",
        "HOOKS-SECRET-0123456789",
        "%00",
    ];
    for secret in wrong {
        let answer = knock(asked.client(), secret).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{secret}");
        assert_eq!(answer.text, nothing.text, "{secret}");
    }
    let client = asked.client();
    let other_method = client.get("/broker/x/emqx/authenticate").await;
    assert_eq!(other_method.status, StatusCode::NOT_FOUND);
    asked.gateway.stop().await;

    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1")
        .add("\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://127.0.0.1:1\"\nprofile = \"emqx\"\n")
        .set("broker_hooks.secret", SECRET)
        .set("guard.enabled", false)
        .set("broker_hooks.from", "[\"10.0.0.0/8\"]");
    let gateway = InProcess::start(&setup).await;
    let answer = knock(&gateway.client, SECRET).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    gateway.stop().await;

    let setup = Setup::new(&database, "gw-1");
    let gateway = InProcess::start(&setup).await;
    let answer = knock(&gateway.client, "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_ones_are_answered_at_once_and_right_ones_among_them() {
    const TRIES: u32 = 60;
    let asked = Asked::start("deny").await;
    let (user, pass, id) = (&asked.username, &asked.password, &asked.client_id);
    let login = |password: &str| json!({"username": user, "password": password, "clientid": id, "peerhost": "10.0.0.7", "client_id": id, "peer_addr": "10.0.0.7"});
    let begun = std::time::Instant::now();
    for _ in 0..TRIES {
        let wrong = asked.emqx("authenticate", &login("wrong")).await;
        assert_eq!(wrong["result"], "deny");
        let wrong = asked.vernemq("auth_on_register", &login("wrong")).await;
        assert_eq!(wrong["result"]["error"], "not_allowed");
        let fields = [
            ("username", &**user),
            ("password", "wrong"),
            ("client_id", id),
        ];
        assert_eq!(asked.rabbitmq("user", &fields).await, "deny");
        let right = asked.emqx("authenticate", &login(pass)).await;
        assert_eq!(right["result"], "allow");
    }
    // A tenth of what they would take if each wrong one waited a quarter of a second.
    let at_most = std::time::Duration::from_millis(25) * 4 * TRIES;
    assert!(begun.elapsed() < at_most, "{:?}", begun.elapsed());
    asked.gateway.stop().await;
}
