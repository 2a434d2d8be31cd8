//! RabbitMQ: `rabbitmq_auth_backend_http`, for clients of its MQTT plugin.

use crate::support::hooks::Asked;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "it is a table")]
async fn rabbitmq_asks_about_each_thing() {
    let asked = Asked::start("ignore").await;
    let (user, pass, id) = (&*asked.username, &*asked.password, &*asked.client_id);
    let queue = format!("mqtt-subscription-{id}qos1");
    let at_most_once = format!("mqtt-subscription-{id}qos0");
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
        (
            "resource",
            thing(user, "queue", &at_most_once, "configure"),
            "allow",
        ),
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
            [
                &topic(user, "changeover.c.commission.u1", "read")[..6],
                &[("variable_map.client_id", "another")],
            ]
            .concat(),
            "deny",
        ),
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
    asked.gateway.stop().await;
}
