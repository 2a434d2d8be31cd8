//! What the keys of a link may say together.

use insta::assert_snapshot;

use super::{Config, testing::found};

fn problems(targets: &str) -> String {
    found(targets, Config::validate).to_string()
}

#[test]
fn keys_that_do_not_go_together() {
    let targets = r#"
        [[mqtt.targets]]
        name = "embedded"
        url = "embedded://127.0.0.1:1883"
        username = "u"
        password_env = "P"
        ca_file = "ca.pem"
        [[mqtt.targets]]
        name = "twice"
        url = "mqtts://u:geheim@h"
        username = "u"
        password_file = "p"
        [[mqtt.targets]]
        name = "both"
        url = "mqtts://i"
        username = ""
        password_file = "p"
        password_env = "P"
        client_cert_file = "c.pem"
        [[mqtt.targets]]
        name = "nobody"
        url = "wss://i/mqtt"
        topic_prefix = "nobody"
        password_file = "p"
        client_key_file = "c.key"
        [[mqtt.targets]]
        name = "plain"
        url = "ws://i/mqtt?token=geheim"
        [[mqtt.targets]]
        name = "plain-too"
        url = "ws://k/mqtt"
        ca_file = "ca.pem"
        client_cert_file = "c.pem"
        client_key_file = "c.key"
    "#;
    assert_snapshot!(problems(targets), @r"
    mqtt.targets[0].username: is for external brokers: the gateway enters its own by itself
    mqtt.targets[0].password_env: is for external brokers: the gateway enters its own by itself
    mqtt.targets[0].ca_file: is for external brokers: the gateway enters its own by itself
    mqtt.targets[1].username: stands beside a user in `url`: remove that from the URL
    mqtt.targets[1].password_file: stands beside a user in `url`: remove that from the URL
    mqtt.targets[2].password_env: stands beside `password_file`: keep one of them
    mqtt.targets[2].username: is empty: leave it out, or name the user
    mqtt.targets[2].client_cert_file: is of no use without `client_key_file`
    mqtt.targets[3].password_file: needs `username`
    mqtt.targets[3].client_key_file: is of no use without `client_cert_file`
    mqtt.targets[4].url: must end after the path
    mqtt.targets[5].ca_file: is for TLS, and `url` is plain: use mqtts:// or wss://
    mqtt.targets[5].client_cert_file: is for TLS, and `url` is plain: use mqtts:// or wss://
    mqtt.targets[5].client_key_file: is for TLS, and `url` is plain: use mqtts:// or wss://
    ");
}

#[test]
fn what_belongs_together_is_sound() {
    let targets = r#"
        [[mqtt.targets]]
        name = "push"
        url = "wss://broker.example.com/mqtt"
        username = "gateway"
        password_file = "/run/secrets/mqtt"
        ca_file = "ca.pem"
        client_cert_file = "c.pem"
        client_key_file = "c.key"
    "#;
    assert_eq!(problems(targets), "");
}
