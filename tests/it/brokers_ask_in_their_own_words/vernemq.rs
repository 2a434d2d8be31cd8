//! VerneMQ: its webhooks, for MQTT 3.1.1 and 5.

use serde_json::{Value, json};

use crate::support::hooks::{Asked, OTHERS, OWN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vernemq_registers_subscribes_and_publishes() {
    let asked = Asked::start("deny").await;
    let ok = json!({"result": "ok"});
    let refused = json!({"result": {"error": "not_allowed"}});
    let (user, id) = (&asked.username, &asked.client_id);
    let login = |username: &str, password: &str| {
        json!({"peer_addr": "10.0.0.7", "peer_port": 5000, "username": username, "password": password,
            "mountpoint": "", "client_id": id, "clean_session": false, "clean_start": false, "properties": {}})
    };
    let topic = |topic: &str| json!({"topic": topic, "qos": 1});
    let filters = |topics: &[&str]| {
        let topics: Vec<_> = topics.iter().map(|name| topic(name)).collect();
        json!({"username": user, "client_id": id, "mountpoint": "", "topics": topics, "properties": {}})
    };
    let mixed = [
        json!({"topic": OWN, "qos": 1}),
        json!({"topic": OTHERS, "qos": 128}),
    ];
    let none = [json!({"topic": OWN, "qos": 128})];
    for (end, judged, none) in [
        (
            "",
            json!({"result": "ok", "topics": mixed}),
            json!({"result": "ok", "topics": none}),
        ),
        (
            "_m5",
            json!({"result": "ok", "modifiers": {"topics": mixed}}),
            json!({"result": "ok", "modifiers": {"topics": none}}),
        ),
    ] {
        let hook = format!("auth_on_register{end}");
        assert_eq!(
            asked.vernemq(&hook, &login(user, &asked.password)).await,
            ok
        );
        let mut elsewhere = login(user, &asked.password);
        elsewhere["client_id"] = "another".into();
        let mut nameless = login(user, &asked.password);
        nameless["username"] = Value::Null;
        for wrong in [
            login(user, "x"),
            login("x", "x"),
            elsewhere,
            nameless,
            json!({}),
            json!(7),
        ] {
            assert_eq!(asked.vernemq(&hook, &wrong).await, refused, "{wrong}");
        }
        let hook = format!("auth_on_subscribe{end}");
        assert_eq!(asked.vernemq(&hook, &filters(&[OWN])).await, ok);
        assert_eq!(asked.vernemq(&hook, &filters(&[OWN, OTHERS])).await, judged);
        assert_eq!(asked.vernemq(&hook, &filters(&[])).await, refused);
        let mut elsewhere = filters(&[OWN]);
        elsewhere["client_id"] = "another".into();
        assert_eq!(asked.vernemq(&hook, &elsewhere).await, none);
        let hook = format!("auth_on_publish{end}");
        let publish = |username: &str, topic: &str| {
            json!({"username": username, "client_id": id, "mountpoint": "", "qos": 1, "topic": topic,
                "payload": "eA==", "retain": false, "properties": {}})
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
async fn users_of_others_are_left_to_the_next_one() {
    let asked = Asked::start("ignore").await;
    let next = json!({"result": "next"});
    let guest = json!({"username": "guest", "password": "guest", "client_id": "x", "topic": "elsewhere",
        "topics": [{"topic": "elsewhere", "qos": 0}]});
    for hook in ["auth_on_register", "auth_on_subscribe", "auth_on_publish"] {
        for end in ["", "_m5"] {
            let hook = format!("{hook}{end}");
            assert_eq!(asked.vernemq(&hook, &guest).await, next, "{hook}");
        }
    }
    asked.gateway.stop().await;
}
