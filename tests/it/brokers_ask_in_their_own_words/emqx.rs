//! EMQX: HTTP authentication, with the rules that go with it, and HTTP authorization.

use serde_json::json;

use crate::support::hooks::{Asked, OTHERS, OWN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn emqx_authenticates_and_authorizes() {
    let asked = Asked::start("deny").await;
    let (user, pass, id) = (&asked.username, &asked.password, &asked.client_id);
    let login = |username: &str, password: &str, clientid: &str| json!({"username": username, "password": password, "clientid": clientid, "peerhost": "10.0.0.7"});
    let right = asked.emqx("authenticate", &login(user, pass, id)).await;
    assert_eq!(right["result"], "allow");
    assert_eq!(right["is_superuser"], false);
    let members: Vec<_> = right.as_object().unwrap().keys().collect();
    assert_eq!(members, ["acl", "expire_at", "is_superuser", "result"]);
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
        // What a template leaves out, and what it has more.
        (
            json!({"username": user, "clientid": id, "action": "subscribe", "topic": OWN}),
            "allow",
        ),
        (
            json!({"username": user, "clientid": id, "action": "subscribe", "topic": OWN, "qos": 1, "retain": false,
                "peerhost": "10.0.0.7", "mountpoint": "", "client_attrs": {"a": "b"}}),
            "allow",
        ),
        (
            json!({"username": user, "clientid": id, "action": "subscribe"}),
            "deny",
        ),
        (json!("?"), "deny"),
    ] {
        let told = asked.emqx("authorize", &body).await;
        assert_eq!(told, json!({"result": wanted}), "{body}");
    }
    asked.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_others_are_left_to_the_next_one() {
    let asked = Asked::start("ignore").await;
    let (user, id) = (&asked.username, &asked.client_id);
    let ignore = json!({"result": "ignore"});
    let body = json!({"username": "guest", "password": "guest", "clientid": "x"});
    assert_eq!(asked.emqx("authenticate", &body).await, ignore);
    let body =
        json!({"username": "guest", "clientid": "x", "action": "subscribe", "topic": "elsewhere"});
    assert_eq!(asked.emqx("authorize", &body).await, ignore);
    let deny = json!({"result": "deny"});
    let body = json!({"username": user, "password": "x", "clientid": id});
    assert_eq!(asked.emqx("authenticate", &body).await, deny);
    asked.gateway.stop().await;
}
