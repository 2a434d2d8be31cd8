//! A ramp names clients: by id, audience, program and network, the same for a poll and for a session.

use changeover::domain::{self, BasisPoints, Cohort};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{Answer, Client, InProcess, MODULE, Setup, changeover},
};

crate::on_each_database!(
    clients_are_named_by_what_is_known_of_them,
    a_list_stays_until_it_is_replaced,
    a_dry_run_says_whom_it_would_move,
);

/// A terminal, and what its requests carry.
#[derive(Clone, Copy)]
struct Terminal {
    id: &'static str,
    audience: &'static str,
    agent: &'static str,
    address: &'static str,
}

const PLAIN: Terminal = Terminal {
    id: "plain",
    audience: "u0",
    agent: "Terminal/2.1",
    address: "192.0.2.1",
};

impl Terminal {
    /// What it is told, by a poll and by a session, which must agree.
    async fn told(self, client: &Client) -> (String, String) {
        let url = format!(
            "{}/api/commission/list?since=0&uid={}",
            client.public, self.audience
        );
        let poll = client.http.get(url).header("X-Terminal", self.id);
        let poll = client.send(self.from(poll)).await;
        let url = format!("{}/v1/session", client.public);
        let body = json!({"client_id": self.id, "audience": self.audience});
        let session = client
            .send(self.from(client.http.post(url).json(&body)))
            .await;
        let session = session.json()["modules"][MODULE].clone();
        let transport = poll.header("changeover-transport").to_owned();
        assert_eq!(session["transport"], transport, "{}", self.id);
        (transport, session["reason"].as_str().unwrap().to_owned())
    }

    /// Through a proxy that the gateway trusts.
    fn from(self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .header("User-Agent", self.agent)
            .header("X-Forwarded-For", format!("10.9.9.9, {}", self.address))
    }
}

async fn clients_are_named_by_what_is_known_of_them(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").set("server.proxies", r#"["127.0.0.1"]"#);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let by_id = Terminal { id: "t:1", ..PLAIN };
    let by_audience = Terminal {
        audience: "u1",
        ..PLAIN
    };
    let by_agent = Terminal {
        agent: "Terminal/3.2",
        ..PLAIN
    };
    let by_network = Terminal {
        address: "198.51.100.7",
        ..PLAIN
    };
    let named = [by_id, by_audience, by_agent, by_network];
    let entries = [
        "client:t:1",
        "audience:u1",
        "agent:Terminal/3.*",
        "network:198.51.100.0/24",
    ];

    ramp(client, &json!({"percent": 0, "include": entries})).await;
    assert_eq!(PLAIN.told(client).await, told("poll", "cohort"));
    for terminal in named {
        assert_eq!(terminal.told(client).await, told("push", "included"));
    }
    ramp(client, &json!({"percent": 100, "exclude": entries})).await;
    assert_eq!(PLAIN.told(client).await, told("push", "cohort"));
    for terminal in named {
        assert_eq!(terminal.told(client).await, told("poll", "excluded"));
    }
    gateway.stop().await;

    // Without a proxy between, what a client says of its address is not believed.
    let plain = InProcess::start(&Setup::new(&database, "a")).await;
    let told_plainly = by_network.told(&plain.client).await;
    assert_eq!(told_plainly, told("push", "cohort"));
    plain.stop().await;
}

async fn a_list_stays_until_it_is_replaced(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    for (body, says) in [
        (
            json!({"include": ["terminal-1"]}),
            "include: `terminal-1` must be client:ID",
        ),
        (
            json!({"exclude": ["network:10.0.0.1/8"]}),
            "exclude: `10.0.0.1/8` has bits",
        ),
        (json!({"include": ["audience:*"]}), "give 100 percent"),
        (json!({}), "percent: is missing"),
    ] {
        let answer = act(client, "ramp", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{detail}");
    }
    let stray = act(client, "promote", &json!({"include": ["client:x"]})).await;
    assert_eq!(stray.status, StatusCode::BAD_REQUEST);

    let arguments = [
        "ramp",
        MODULE,
        "--percent",
        "5",
        "--include",
        "client:t1",
        "--include",
        "agent:Edge/*",
        "--exclude",
        "client:t2",
        "--reason",
        "edge first",
        "--output",
        "table",
    ];
    let said = run(client, &arguments).await;
    assert!(
        said.contains("share     0 %     5 %\nincluded  -       client:t1 agent:Edge/*\n"),
        "{said}"
    );
    run(
        client,
        &["ramp", MODULE, "--percent", "10", "--reason", "more"],
    )
    .await;
    let lists = async || {
        let module = client.module().await;
        (
            module["percent"].clone(),
            module["include"].clone(),
            module["exclude"].clone(),
        )
    };
    let both = (
        json!(10.0),
        json!(["client:t1", "agent:Edge/*"]),
        json!(["client:t2"]),
    );
    assert_eq!(lists().await, both);
    // On the way back and up again it is as it was.
    run(client, &["rollback", MODULE, "--reason", "trouble"]).await;
    run(client, &["promote", MODULE, "--reason", "again"]).await;
    assert_eq!(lists().await, both);
    let said = run(client, &["get", MODULE, "--output", "table"]).await;
    assert!(
        said.contains("cohort     10 %, and client:t1 agent:Edge/*, without client:t2\n"),
        "{said}"
    );

    let exclude = [
        "ramp",
        MODULE,
        "--exclude",
        "client:t3",
        "--include-nobody",
        "--reason",
        "broken",
    ];
    run(client, &exclude).await;
    assert_eq!(
        lists().await,
        (json!(10.0), json!([]), json!(["client:t3"]))
    );
    let history = run(client, &["history", MODULE, "--output", "table"]).await;
    let change = "ramp at 10 %, 2 included, 1 excluded -> ramp at 10 %, 1 excluded";
    assert!(history.contains(change), "{history}");

    let many: Vec<_> = (0..201).map(|n| format!("client:terminal-{n}")).collect();
    let answer = act(client, "ramp", &json!({"exclude": many})).await;
    assert!(
        answer
            .text
            .contains("exclude: holds 201 entries, at most 200"),
        "{answer:?}"
    );
    ramp(client, &json!({"exclude": many[1..]})).await;
    for wrong in ["nobody", "network:10.0.0.1/8"] {
        let wrong = [
            "module",
            "ramp",
            MODULE,
            "--include",
            wrong,
            "--reason",
            "r",
        ];
        let output = changeover(client, &wrong).await;
        assert_eq!(output.status.code(), Some(64));
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("--include")
        );
    }
    gateway.stop().await;
}

async fn a_dry_run_says_whom_it_would_move(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let ids: Vec<_> = (0..200).map(|n| format!("terminal-{n:04}")).collect();
    for id in &ids {
        let url = format!("{}/v1/session", client.public);
        let session = client.http.post(url).json(&json!({"client_id": id}));
        assert_eq!(client.send(session).await.status, StatusCode::OK);
    }
    let module = MODULE.parse().unwrap();
    let within = |percent: u16| {
        let cohort = Cohort::share(BasisPoints::new(percent * 100).unwrap());
        let ids = ids.iter();
        let moved = ids.filter(|id| cohort.choose(&module, &domain::Client::named(id)).is_in());
        moved.cloned().collect::<Vec<_>>()
    };
    let dry = async |percent: &str| {
        let arguments = [
            "ramp",
            MODULE,
            "--percent",
            percent,
            "--reason",
            "r",
            "--dry-run",
        ];
        let said = run(client, &arguments).await;
        serde_json::from_str::<Value>(&said).unwrap()["preview"].clone()
    };
    let (tenth, fifth) = (within(10), within(20));
    assert!(tenth.len() > 10, "else the sample shows all");
    let none = json!({"clients": 0, "sample": []});
    let up = json!({"clients": tenth.len(), "sample": tenth[..10]});
    let preview = dry("10").await;
    assert_eq!(
        preview,
        json!({"known": 200, "complete": true, "to_push": up, "to_poll": none})
    );

    ramp(client, &json!({"percent": 20})).await;
    let back: Vec<_> = fifth.iter().filter(|id| !tenth.contains(id)).collect();
    let preview = dry("10").await;
    assert_eq!(preview["to_push"], none);
    assert_eq!(preview["to_poll"]["clients"], back.len());
    let sample: Vec<_> = back.iter().take(10).collect();
    assert_eq!(preview["to_poll"]["sample"], json!(sample));

    let include = ["--include", "client:terminal-0000", "--output", "table"];
    let arguments = ["ramp", MODULE, "--reason", "r", "--dry-run"];
    let said = run(client, &[&arguments[..], &include].concat()).await;
    assert!(said.contains("of 200 clients of the census"), "{said}");
    // What follows warns of a mirror that nobody has verified yet.
    assert!(said.contains("\n  0 would poll again\n"), "{said}");
    let done = act(client, "ramp", &json!({"percent": 20})).await;
    assert_eq!(done.json().get("preview"), None, "of a dry run only");
    gateway.stop().await;
}

fn told(transport: &str, reason: &str) -> (String, String) {
    (transport.to_owned(), reason.to_owned())
}

async fn act(client: &Client, act: &str, body: &Value) -> Answer {
    let mut body = body.clone();
    body["reason"] = json!("test");
    let path = format!("/admin/v1/modules/{MODULE}/{act}");
    client.post(&path, &body).await
}

async fn ramp(client: &Client, body: &Value) {
    let mut body = body.clone();
    for list in ["include", "exclude"] {
        if body.get(list).is_none() {
            body[list] = json!([]);
        }
    }
    let answer = act(client, "ramp", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

async fn run(client: &Client, arguments: &[&str]) -> String {
    let output = changeover(client, &[&["module"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
