//! RabbitMQ: `rabbitmq_auth_backend_http`, for clients of its MQTT plugin.

use crate::support::hooks::Asked;

const ALLOW: &str = "allow";
const DENY: &str = "deny";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_asks_about_each_thing() {
    let asked = Asked::start("ignore").await;
    users_enter(&asked).await;
    vhosts_are_seen(&asked).await;
    things_are_used(&asked).await;
    topics_are_read_and_written(&asked).await;
    asked.gateway.stop().await;
}

async fn is_told(asked: &Asked, path: &str, fields: &[(&str, &str)], wanted: &str) {
    let told = asked.rabbitmq(path, fields).await;
    assert_eq!(told, wanted, "{path} {fields:?}");
}

async fn users_enter(asked: &Asked) {
    let (user, pass, id) = (&*asked.username, &*asked.password, &*asked.client_id);
    for (username, password, client_id, wanted) in [
        (user, pass, id, ALLOW),
        (user, pass, "another", DENY),
        (user, "x", id, DENY),
        ("gateway", "s3cret", "changeover-gw-1-1", ALLOW),
        ("gateway", "x", "changeover-gw-1-1", DENY),
        // RabbitMQ knows no other word, whatever is configured.
        ("guest", "guest", "x", DENY),
    ] {
        let fields = [
            ("username", username),
            ("password", password),
            ("vhost", "/"),
            ("client_id", client_id),
        ];
        is_told(asked, "user", &fields, wanted).await;
    }
    is_told(asked, "user", &[], DENY).await;
}

async fn vhosts_are_seen(asked: &Asked) {
    let user = &*asked.username;
    let with_address = [("username", user), ("vhost", "/"), ("ip", "10.0.0.7")];
    is_told(asked, "vhost", &with_address, ALLOW).await;
    for (username, vhost, wanted) in [
        ("gateway", "/", ALLOW),
        ("guest", "/", DENY),
        (user, "other", DENY),
        ("gateway", "other", DENY),
    ] {
        let fields = [("username", username), ("vhost", vhost)];
        is_told(asked, "vhost", &fields, wanted).await;
    }
}

/// Queues and exchanges.
async fn things_are_used(asked: &Asked) {
    let (user, id) = (&*asked.username, &asked.client_id);
    let queue = &*format!("mqtt-subscription-{id}qos1");
    let at_most_once = &*format!("mqtt-subscription-{id}qos0");
    let other_queue = &*format!("mqtt-subscription-{id}xqos1");
    for (username, resource, name, permission, wanted) in [
        (user, "queue", queue, "configure", ALLOW),
        (user, "queue", queue, "write", ALLOW),
        (user, "queue", at_most_once, "configure", ALLOW),
        (user, "queue", queue, "read", ALLOW),
        (user, "queue", other_queue, "read", DENY),
        (user, "queue", "orders", "read", DENY),
        (user, "exchange", "amq.topic", "read", ALLOW),
        (user, "exchange", "amq.topic", "write", DENY),
        (user, "exchange", "amq.topic", "configure", DENY),
        (user, "exchange", "amq.direct", "read", DENY),
        ("gateway", "exchange", "amq.topic", "write", ALLOW),
        ("guest", "exchange", "amq.topic", "read", DENY),
    ] {
        let fields = [
            ("username", username),
            ("vhost", "/"),
            ("resource", resource),
            ("name", name),
            ("permission", permission),
            ("tags", ""),
        ];
        is_told(asked, "resource", &fields, wanted).await;
    }
}

async fn topics_are_read_and_written(asked: &Asked) {
    let (user, id) = (&*asked.username, &*asked.client_id);
    for (username, client_id, key, permission, wanted) in [
        (user, id, "changeover.c.commission.u1", "read", ALLOW),
        (user, id, "changeover.m.commission", "read", ALLOW),
        (user, id, "changeover.c.commission.u2", "read", DENY),
        (user, id, "changeover.c.commission.*", "read", DENY),
        (user, id, "changeover.c.commission.#", "read", DENY),
        (user, id, "#", "read", DENY),
        (user, "another", "changeover.c.commission.u1", "read", DENY),
        (user, id, "changeover.c.commission.u1", "write", DENY),
        ("gateway", id, "changeover.c.*.*", "read", ALLOW),
        ("gateway", id, "changeover.c.commission.u1", "write", ALLOW),
        ("gateway", id, "elsewhere", "write", DENY),
    ] {
        let fields = [
            ("username", username),
            ("vhost", "/"),
            ("resource", "topic"),
            ("name", "amq.topic"),
            ("routing_key", key),
            ("permission", permission),
            ("variable_map.client_id", client_id),
        ];
        is_told(asked, "topic", &fields, wanted).await;
    }
}
