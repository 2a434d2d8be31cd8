//! What is answered to requests that mean harm: a table each for what stands in values, for how a request is written, and for
//! documents. Nothing but an error or an empty answer comes of them, nobody sees what is somebody else's, no header is slipped in,
//! and the data is as it was before.

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
    native::{PATIENCE, numbered},
    socket::Socket,
    token, within,
};

const BY_PATH: &str = r#"
[[modules]]
name = "places"
[modules.poll]
path = "/places/{uid}/{since}"
cursor = { in = "path", name = "since", kind = "position" }
audience = { in = "path", name = "uid" }
[modules.poll.response]
error = '{"code":"$status","msg":"$message"}'
"#;

/// What stands in the value of a change that nobody here may read.
const SECRET: &str = "planted-secret";

struct Site {
    gateway: InProcess,
    database: DatabaseUnderTest,
    before: Vec<Option<String>>,
}

impl Site {
    async fn start() -> Self {
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let gateway = InProcess::start(&Setup::new(&database, "a").add(BY_PATH)).await;
        let client = &gateway.client;
        for module in ["commission", "places"] {
            let changes = json!([
                {"key": "k1", "audience": "u2", "value": SECRET},
                {"key": "k2", "audience": "u'2", "value": SECRET},
            ]);
            let path = format!("/v1/modules/{module}/changes");
            let answer = client.post(&path, &changes).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            numbered(client, module, 2).await;
        }
        let answer = client.try_poll("since=0&uid=u2").await.unwrap();
        assert!(answer.text.contains(SECRET), "it can be seen: {answer:?}");
        let before = content(&database).await;
        Self {
            gateway,
            database,
            before,
        }
    }

    /// The statuses of all answers to what is sent over one connection, until it ends.
    async fn statuses(&self, name: &str, url: &str, bytes: &[u8]) -> Vec<u16> {
        let mut socket = Socket::connect(url).await;
        let said = within(name, PATIENCE, socket.until_the_end(bytes)).await;
        assert!(!said.contains(SECRET), "{name}: {said}");
        let lower = said.to_ascii_lowercase();
        assert!(!lower.contains("\nset-cookie"), "{name}: {said}");
        assert!(!lower.contains("\nx-slipped"), "{name}: {said}");
        for word in ["select ", "sqlite", "syntax error", "panicked", "/src/"] {
            assert!(!lower.contains(word), "{name} tells {word}: {said}");
        }
        let heads = said.split("HTTP/1.1 ").skip(1);
        heads.map(|head| head[..3].parse().unwrap()).collect()
    }

    async fn end(self) {
        assert_eq!(content(&self.database).await, self.before, "the data");
        let (items, _) = self.gateway.client.pages(0, 100).await;
        assert!(items.is_empty(), "everyone sees {items:?}");
        self.gateway.stop().await;
    }
}

/// What the tables hold that requests could have changed.
async fn content(database: &DatabaseUnderTest) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for (table, column) in [
        ("change_log", "value"),
        ("entity_state", "value"),
        ("module_head", "head"),
        ("module_stage", "version"),
        ("outbox", "value"),
        ("outbox_rejected", "value"),
        ("audit", "action"),
    ] {
        let sql = format!(
            "SELECT CAST(COUNT(*) AS TEXT) || CAST(COUNT(DISTINCT {column}) AS TEXT) FROM {table}"
        );
        all.push(database.text(&sql).await);
    }
    all
}

/// Values that mean harm, as they stand percent-encoded in a URL.
const VALUES: [(&str, &str); 22] = [
    ("SQL: always true", "u1'%20OR%20'1'%3D'1"),
    ("SQL: a comment", "u'2'--"),
    (
        "SQL: a second statement",
        "u1';%20DROP%20TABLE%20change_log;--",
    ),
    (
        "SQL: a union",
        "x'%20UNION%20SELECT%20value%20FROM%20change_log--",
    ),
    ("SQL: LIKE", "%25"),
    ("SQL: one character", "u_"),
    ("SQL: a backslash", "u%5C'2"),
    ("header: CR LF", "u1%0D%0AX-Slipped:%201%0D%0A%0D%0A"),
    ("header: LF", "u1%0ASet-Cookie:%20a=b"),
    ("header: a line separator", "u1%E2%80%A8X-Slipped:%201"),
    ("path: upwards", "..%2F..%2Fetc%2Fpasswd"),
    (
        "path: upwards, twice encoded",
        "%252e%252e%252fetc%252fpasswd",
    ),
    ("path: backslashes", "..%5C..%5Cetc"),
    ("topic: all below", "%23"),
    ("topic: any", "%2B"),
    ("topic: a level more", "u1/%23"),
    ("topic: the system's", "$SYS"),
    ("topic: shared", "$share%2Fg%2Fchangeover"),
    ("NUL", "u2%00"),
    ("overlong UTF-8", "%C0%AFu2"),
    ("half a surrogate", "%ED%A0%80"),
    ("template", "$changes$cursor%7B%7Bu2%7D%7D"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_values() {
    let site = Site::start().await;
    let (public, private) = (&site.gateway.client.public, &site.gateway.client.private);
    let mut told = Vec::new();
    for (name, value) in VALUES {
        // Where a value stands, and what is answered: the error, or what anybody gets who may read nothing.
        let places = [
            (
                public,
                format!("GET /api/commission/list?since=0&uid={value}"),
            ),
            (public, format!("GET /api/commission/list?since={value}")),
            (
                public,
                format!("GET /api/commission/list?since=0&size={value}"),
            ),
            (public, format!("GET /places/{value}/0")),
            (public, format!("GET /places/u1/{value}")),
            (public, format!("GET /v1/streams/{value}?offset=-1")),
            (public, format!("GET /v1/streams/commission?offset={value}")),
            (
                public,
                format!("GET /v1/streams/commission?offset=-1&audience={value}"),
            ),
            (public, format!("GET /v1/modules/{value}/snapshot")),
            (
                public,
                format!("GET /v1/modules/commission/snapshot?audience={value}"),
            ),
            (private, format!("GET /admin/v1/modules/{value}")),
            (private, format!("GET /admin/v1/modules/{value}/history")),
            (private, format!("GET /admin/v1/census?module={value}")),
            (private, format!("POST /admin/v1/targets/{value}/pause")),
        ];
        let mut row = Vec::new();
        for (url, line) in places {
            let token = token::admin();
            let request = format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            );
            let statuses = site.statuses(name, url, request.as_bytes()).await;
            assert_eq!(statuses.len(), 1, "{name}, {line}: {statuses:?}");
            let status = statuses[0];
            assert!((200..500).contains(&status), "{name}, {line}: {status}");
            row.push(status.to_string());
        }
        told.push(format!("{name:<30} {}", row.join(" ")));
    }
    insta::assert_snapshot!("answers_to_hostile_values", told.join("\n"));
    site.end().await;
}

/// A poll in a body that is a chunk, and behind it what somebody wants to slip past a proxy.
const SLIPPED: &str = "GET /api/commission/list?uid=u2&since=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// How requests are written that two servers may read in two ways, and the status of the one answer: what stands behind them is never
/// taken for a request, since the connection is closed.
const WRITTEN: [(&str, &str, &[u16]); 21] = [
    (
        "length and chunked",
        "POST /p HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[200],
    ),
    (
        "chunked and length",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[200],
    ),
    (
        "two lengths",
        "POST /p HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        &[400],
    ),
    (
        "a list of lengths",
        "POST /p HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nabcde",
        &[400],
    ),
    (
        "a signed length",
        "POST /p HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde",
        &[400],
    ),
    (
        "a negative length",
        "POST /p HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        &[400],
    ),
    (
        "a length above all",
        "POST /p HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        &[400],
    ),
    (
        "chunked, then something else",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "another coding",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "chunked in HTTP/1.0",
        "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "a space before the colon",
        "POST /p HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "a folded line",
        "POST /p HTTP/1.1\r\nX-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n",
        &[400],
    ),
    (
        "a NUL in a header",
        "GET /p HTTP/1.1\r\nX-A: 1\0\r\n\r\n",
        &[400],
    ),
    (
        "a bare CR in a header",
        "GET /p HTTP/1.1\r\nX-A: 1\rX-Slipped: 1\r\n\r\n",
        &[400],
    ),
    (
        "a chunk of no number",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        &[408],
    ),
    (
        "a chunk above all",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        &[408],
    ),
    (
        "a bare LF behind a chunk's length",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0;x\n\r\n",
        &[408],
    ),
    (
        "an endless chunk extension",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0;EXTENSION\r\n\r\n",
        &[408],
    ),
    ("another version", "GET /p HTTP/3.0\r\n\r\n", &[400]),
    ("a method of no letters", "G(T /p HTTP/1.1\r\n\r\n", &[400]),
    (
        "a second word in the path",
        "GET /p x HTTP/1.1\r\n\r\n",
        &[400],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_how_they_are_written() {
    let site = Site::start().await;
    let public = &site.gateway.client.public;
    let mut wrong = Vec::new();
    for (name, written, expected) in WRITTEN {
        let written = written
            .replacen(" /p", " /api/commission/list?since=0", 1)
            .replacen("\r\n", "\r\nHost: localhost\r\n", 1)
            .replace("EXTENSION", &"x".repeat(100_000));
        // What is slipped asks for nobody's secret here: whether it is answered at all is what counts.
        let slipped = SLIPPED.replace("uid=u2", "uid=u3");
        let statuses = site
            .statuses(name, public, (written + &slipped).as_bytes())
            .await;
        if statuses != expected {
            wrong.push(format!("{name}: {statuses:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_documents() {
    let site = Site::start().await;
    let client = &site.gateway.client;
    let deep = |open: &str, close: &str| open.repeat(30_000) + "1" + &close.repeat(30_000);
    let wide = format!("[{}0]", "0,".repeat(30_000));
    let twice = r#"{"cursors":{},"cursors":{},"client_id":"a","client_id":"b"}"#.to_owned();
    let documents = [
        ("deep lists", deep("[", "]")),
        ("deep objects", deep(r#"{"a":"#, "}")),
        (
            "deep where a member is known",
            format!(r#"{{"cursors":{}}}"#, deep("[", "]")),
        ),
        (
            "deep where any value may be",
            format!(r#"{{"key":"k","value":{}}}"#, deep("[", "]")),
        ),
        ("wide", wide),
        ("a member twice", twice),
        ("a number above all", format!("1{}", "0".repeat(60_000))),
        ("half a surrogate", r#"{"client_id":"\ud800"}"#.to_owned()),
        (
            "a NUL",
            r#"{"client_id":"a\u0000b","modules":["commission"]}"#.to_owned(),
        ),
        (
            "MQTT wildcards",
            r##"{"client_id":"+/#","audience":"#","modules":["+"]}"##.to_owned(),
        ),
        ("not JSON", "{'a':1}".to_owned()),
        ("nothing", String::new()),
    ];
    let mut told = Vec::new();
    for (name, document) in documents {
        let mut row = Vec::new();
        for (base, path) in [
            (&client.public, "/v1/poll"),
            (&client.public, "/v1/session"),
            (&client.public, "/ofrep/v1/evaluate/flags"),
            (&client.private, "/v1/modules/commission/changes"),
            (&client.private, "/admin/v1/modules/commission/ramp"),
        ] {
            let request = client.http.post(format!("{base}{path}"));
            let request = request.header("content-type", "application/json");
            let answer = client.send(request.body(document.clone())).await;
            let status = answer.status.as_u16();
            assert!((200..500).contains(&status), "{name}, {path}: {answer:?}");
            assert!(
                answer.text.len() < 2_000,
                "{name}, {path}: {}",
                answer.text.len()
            );
            row.push(status.to_string());
        }
        told.push(format!("{name:<30} {}", row.join(" ")));
    }
    insta::assert_snapshot!("answers_to_hostile_documents", told.join("\n"));
    site.end().await;
}

/// A session's topics are exact ones, whoever asks: a name with a wildcard in it is nobody's topic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_topics() {
    let site = Site::start().await;
    let client = &site.gateway.client;
    let mut told = 0;
    for audience in [
        "u2", "#", "+", "u1/#", "$SYS", "a/b", "u2\u{0}", "..", "u%2F2",
    ] {
        let body = json!({"client_id": "+/#", "audience": audience, "modules": ["commission"]});
        let request = client.http.post(format!("{}/v1/session", client.public));
        let answer = client.send(request.json(&body)).await;
        if answer.status.is_client_error() {
            continue;
        }
        let answer = answer.json();
        let mut texts = Vec::new();
        collect(&answer["modules"], &mut texts);
        let topics: Vec<_> = texts
            .iter()
            .filter(|text| text.starts_with("changeover/"))
            .collect();
        told += topics.len();
        for topic in topics {
            assert!(!topic.contains(['#', '+', '\0']), "{audience:?}: {topic}");
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-=/".contains(c);
            assert!(topic.chars().all(is_plain), "{audience:?}: {topic}");
            let levels = topic.split('/').count();
            assert!(levels <= 4, "{audience:?} adds a level: {topic}");
        }
    }
    assert!(told > 0, "no session has topics");
    site.end().await;
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| collect(one, texts)),
        Value::Object(all) => all.values().for_each(|one| collect(one, texts)),
        _ => {}
    }
}
