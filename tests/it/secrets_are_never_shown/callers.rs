//! What callers, brokers and operators enter the gateway with: it recognizes them by each way, refuses those that are wrong, and shows
//! neither.

use changeover::{config::mqtt::Protocol, identity::passes::Issued};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    IN_ENV, hold_none,
    planted::{
        BROKER, COOKIE, HEADER, HOOKS, IN_FILE, INLINE, KEY, NEXT_IN_FILE, Public, WRONG_COOKIE,
        WRONG_KEY, back_end, tables,
    },
    told,
};
use crate::support::{
    callers::signed,
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Program, Setup, changeover},
    links::{Files, HERE},
    native::PATIENCE,
    passes::Entering,
    pki::Authority,
    secure::{Trust, shows},
    token,
};

/// A gateway at which everything is tried.
struct Run {
    program: Program,
    public: Public,
    /// What was shown, and where.
    shown: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Run {
    fn note(&mut self, place: impl Into<String>, text: String) {
        self.shown.push((place.into(), text));
    }

    fn plant(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    async fn send(&mut self, place: String, request: RequestBuilder) -> (u16, String) {
        let answer = self.program.client.send(request).await;
        self.note(place, format!("{answer:?}"));
        (answer.status.as_u16(), answer.text)
    }

    /// Callers ask for what is their own, and for what is another's. Each is known by the header that it has at the place of its number.
    async fn callers_ask(&mut self, headers: &[String]) {
        for (n, header) in headers.iter().enumerate() {
            for (request, expected) in [
                (format!("{POLL}&uid=u{}", n + 1), 200),
                (format!("{POLL}&uid=u9"), 403),
                (
                    "GET /v1/streams/commission?offset=-1&audience=u9".to_owned(),
                    403,
                ),
            ] {
                let (status, text) = self.public.ask(&request, header, "").await;
                assert_eq!(status, expected, "{request}: {text}");
                self.note(format!("{request} of u{}", n + 1), text);
            }
        }
    }

    /// Whom nobody knows asks at each kind of door.
    async fn strangers_ask(&mut self, headers: &[String]) {
        for header in headers {
            for request in [POLL, "POST /v1/session", "POST /ofrep/v1/evaluate/flags"] {
                let (status, text) = self.public.ask(request, header, "{}").await;
                assert_eq!(status, 401, "{request} with {header}: {text}");
                self.note(format!("{request} of nobody"), text);
            }
        }
    }

    /// The pass of a session, and one that is forged.
    async fn session(&mut self, header: &str) -> (String, [Issued; 2]) {
        let (status, text) = self.public.ask("POST /v1/session", header, "{}").await;
        assert_eq!(status, 200, "{text}");
        let body = text.lines().last().unwrap();
        let session: Value = serde_json::from_str(body).unwrap();
        let told = |name: &str| session["mqtt"][name].as_str().unwrap().to_owned();
        let (username, password) = (told("username"), told("password"));
        let forged = Issued {
            username: username.clone(),
            password: format!("{}planted-behind", &password[1..]),
        };
        for secret in [&username, &password, &forged.password, "planted-behind"] {
            self.plant(secret);
        }
        (told("client_id"), [Issued { username, password }, forged])
    }

    /// Passes are shown to the embedded broker.
    async fn clients_enter(&self, id: &str, [right, forged]: &[Issued; 2]) {
        let ready = self.program.said("ready").unwrap();
        let by_websocket = format!("ws://{}/mqtt", ready["websocket"].as_str().unwrap());
        let plain = self.program.mqtt.clone().unwrap();
        for (url, version) in [
            (&plain, Protocol::V5),
            (&plain, Protocol::V311),
            (&by_websocket, Protocol::V5),
        ] {
            let mut entering = Entering::open(url, version, id, Some(right));
            assert!(entering.is_let_in().await.is_some(), "{version:?}");
            entering.subscribe(&["changeover/c/commission/u2"]).await;
            entering.close().await;
            let mut entering = Entering::open(url, version, id, Some(forged));
            assert!(entering.is_let_in().await.is_none(), "{version:?}");
            entering.close().await;
        }
    }

    /// And by other brokers to the hooks.
    async fn brokers_ask(&mut self, id: &str, passes: &[Issued; 2]) {
        let base = format!("{}/broker/{HOOKS}", self.program.client.private);
        let http = self.program.client.http.0.clone();
        for (Issued { username, password }, expected) in passes.iter().zip(["allow", "deny"]) {
            let form = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs([("username", username), ("password", password)])
                .extend_pairs([("client_id", id), ("vhost", "/")])
                .finish();
            let rabbitmq = format!("{base}/rabbitmq/user");
            let by_query = http.get(format!("{rabbitmq}?{form}"));
            let by_form = http.post(rabbitmq).body(form);
            let by_form = by_form.header("content-type", "application/x-www-form-urlencoded");
            for (way, request) in [("query", by_query), ("form", by_form)] {
                let (status, text) = self.send(format!("RabbitMQ by {way}"), request).await;
                assert_eq!((status, &*text), (200, expected), "RabbitMQ by {way}");
            }
            let emqx = json!({"username": username, "password": password, "clientid": id});
            let request = http.post(format!("{base}/emqx/authenticate")).json(&emqx);
            let (status, text) = self.send("EMQX".to_owned(), request).await;
            assert_eq!(status, 200, "{text}");
            assert!(text.contains(expected), "{text}");
            let vernemq = json!({"username": username, "password": password, "client_id": id, "mountpoint": ""});
            let request = http.post(format!("{base}/vernemq")).json(&vernemq);
            let request = request.header("vernemq-hook", "auth_on_register");
            assert_eq!(self.send("VerneMQ".to_owned(), request).await.0, 200);
        }
        for path in [
            "no/such",
            "emqx/authenticate",
            "rabbitmq/user?password=planted-behind",
        ] {
            for method in [Method::PUT, Method::POST] {
                let request = http.request(method.clone(), format!("{base}/{path}"));
                self.send(format!("{method} of hooks: {path}"), request)
                    .await;
            }
        }
    }

    /// The command that makes a token is the only one that shows it.
    async fn operators_act(&mut self, file: &str) {
        let client = self.program.client.clone();
        let create = [
            "token", "create", "--role", "producer", "--name", "shop", "--reason", "a test",
        ];
        let output = changeover(&client, &[&create[..], &["--output", "json"]].concat()).await;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let made = answer["token"].as_str().unwrap();
        let mistyped = format!("{}planted", &made[..made.len() - 7]);
        for secret in [made, made.rsplit('_').next().unwrap(), &mistyped] {
            self.plant(secret);
        }
        let url = format!("{}/v1/modules/commission/changes", client.private);
        for (token, expected) in [(made, 202), (&*mistyped, 401)] {
            let request = client.http.0.post(&url).bearer_auth(token);
            let request = request.json(&json!({"key": "a", "value": 1}));
            assert_eq!(self.send("ingest".to_owned(), request).await.0, expected);
        }
        for command in [
            &["token", "list"][..],
            &["module", "list"],
            &["health"],
            &["module", "list", "--token-file", file],
        ] {
            let output = changeover(&client, command).await;
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            self.note(command.join(" "), text);
        }
    }
}

const POLL: &str = "GET /api/commission/list?since=0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_callers_show_them() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let listener = ours.server(&HERE);
    let file = files.write("jwt", IN_FILE).display().to_string();
    let hash = format!("{:x}", Sha256::digest(KEY));
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1")
        .add(&tables(&back_end().await, &file, &hash))
        .set("log.filter", "trace")
        .set("guard.enabled", false)
        .through(&["env", &format!("PLANTED={IN_ENV}")]);
    let program = Program::start(&shows(setup.clone(), "public", &files, &listener)).await;
    let public = Public {
        url: program.client.public.clone(),
        trust: Trust::of(&ours),
    };
    let right = [(INLINE, "u1"), (IN_FILE, "u2"), (IN_ENV, "u3")];
    let [by_text, by_file, by_variable] =
        right.map(|(secret, account)| signed(secret, account, 600));
    let forged = signed("planted, but nobody knows it: forged", "u1", 600);
    let key = listener.key.lines().nth(1).unwrap();
    let upper = hash.to_uppercase();
    let configured = [INLINE, IN_FILE, IN_ENV, NEXT_IN_FILE, HOOKS, BROKER, key];
    let sent = [KEY, WRONG_KEY, COOKIE, HEADER, WRONG_COOKIE, token::admin()];
    let made = [&*hash, &upper, &by_text, &by_file, &by_variable, &forged];
    let secrets = [&configured[..], &sent, &made].concat();
    let mut run = Run {
        program,
        public,
        shown: Vec::new(),
        secrets: secrets.into_iter().map(str::to_owned).collect(),
    };

    let known = [
        format!("X-inline: {by_text}\r\n"),
        format!("X-filed: {by_file}\r\n"),
        format!("X-varied: {by_variable}\r\n"),
        format!("X-Api-Key: {KEY}\r\n"),
        format!("Cookie: SID={COOKIE}\r\nX-Legacy: {HEADER}\r\n"),
    ];
    run.callers_ask(&known).await;
    let unknown = [
        format!("X-inline: {forged}\r\n"),
        format!("X-Api-Key: {WRONG_KEY}\r\n"),
        format!("Cookie: SID={WRONG_COOKIE}\r\n"),
    ];
    run.strangers_ask(&unknown).await;
    let (id, passes) = run.session(&known[0]).await;
    run.clients_enter(&id, &passes).await;
    run.brokers_ask(&id, &passes).await;
    run.operators_act(&file).await;

    // What signs the passes, as text and as a list of bytes.
    let signing = "SELECT lower(hex(secret)) FROM signing_key LIMIT 1";
    let signing = database.text(signing).await.unwrap();
    let digits = signing
        .as_bytes()
        .chunks(2)
        .map(|two| str::from_utf8(two).unwrap());
    let bytes: Vec<_> = digits
        .map(|two| u8::from_str_radix(two, 16).unwrap())
        .collect();
    assert!(bytes.len() >= 32, "{bytes:?}");
    let list = format!("{:?}", &bytes[..8]);
    for form in [
        &*signing,
        &signing.to_uppercase(),
        list.trim_matches(['[', ']']),
    ] {
        run.plant(form);
    }

    // And when files turn wrong.
    let (client, config) = (run.program.client.clone(), setup.write());
    run.shown.extend(told(&client, &config).await);
    files.write("jwt", NEXT_IN_FILE);
    files.write("public.key", &listener.key[30..]);
    let stay = "keys stay as they were, until keys_stale_for is over";
    let kept = "the new files cannot be used: the old certificate goes on";
    for message in [stay, kept] {
        eventually(message, PATIENCE, async || run.program.said(message)).await;
    }
    run.shown.extend(told(&client, &config).await);
    let log = run.program.log();
    run.note("the log", log.clone());

    let secrets: Vec<_> = run.secrets.iter().map(|secret| &**secret).collect();
    hold_none(&run.shown, &secrets);
    // What may be shown is: else the search would find nothing for a wrong reason.
    assert!(log.contains("TRACE"), "it is talkative");
    let mut shown = run.shown.iter();
    let (_, config) = shown.find(|(place, _)| place == "config").unwrap();
    for hidden in ["secret = \"***\"", "hash = \"***\"", "gateway:***@"] {
        assert!(config.contains(hidden), "{hidden}: {config}");
    }
}
