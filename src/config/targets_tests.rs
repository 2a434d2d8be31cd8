use super::*;
use crate::config::testing::found;

fn problems(toml: &str) -> String {
    let modules = "[[modules]]\nname = \"orders\"\n[[modules]]\nname = \"stock\"\n";
    found(&format!("{modules}{toml}"), Config::validate).to_string()
}

#[test]
fn targets_side_by_side() {
    let toml = r#"
        [[mqtt.targets]]
        name = "old"
        url = "mqtt://one"
        protocol = "3.1.1"
        [[mqtt.targets]]
        name = "new"
        url = "mqtt://two"
        topic_prefix = "next/changes"
        encoding = "binary"
        modules = ["orders"]
        [[mqtt.targets]]
        name = "here"
        url = "embedded://127.0.0.1:0"
        [[mqtt.targets]]
        name = "old-too"
        url = "mqtt://one"
        topic_prefix = "again"
    "#;
    assert_eq!(problems(toml), "");
}

#[test]
fn connections_are_bounded_and_share_the_window() {
    let toml = "[mirror]\ninflight = 3\n[[mqtt.targets]]\nname = \"a\"\nurl = \"mqtt://one\"\nconnections = ";
    assert_eq!(problems(&format!("{toml}3")), "");
    insta::assert_snapshot!(problems(&format!("{toml}0")), @"mqtt.targets[0].connections: must be from 1 to 16, not 0");
    insta::assert_snapshot!(problems(&format!("{toml}17")), @"mqtt.targets[0].connections: must be from 1 to 16, not 17");
    insta::assert_snapshot!(problems(&format!("{toml}4")), @"mqtt.targets[0].connections: must not be above mirror.inflight (3), which the connections share");
    let embedded = "[[mqtt.targets]]\nurl = \"embedded://127.0.0.1:0\"\nconnections = 2";
    insta::assert_snapshot!(problems(embedded), @"mqtt.targets[0].connections: is for mqtt:// targets: the embedded broker lets the gateway in once");
}

#[test]
fn what_targets_must_not_be() {
    let toml = r#"
        [[mqtt.targets]]
        name = "a"
        url = "embedded://127.0.0.1:0"
        topic_prefix = "x/#"
        [[mqtt.targets]]
        name = "b"
        url = "embedded://127.0.0.1:0"
        modules = []
        [[mqtt.targets]]
        name = "c"
        url = "mqtt://u:geheim@one"
        protocol = "3.1.1"
        encoding = "binary"
        modules = ["orders", "none", "orders"]
        [[mqtt.targets]]
        name = "d"
        url = "mqtt://u:geheim@one:1883/"
        topic_prefix = "changeover"
    "#;
    insta::assert_snapshot!(problems(toml), @r#"
    mqtt.targets[0].topic_prefix: must not contain the wildcards `+` and `#`
    mqtt.targets[1].url: is a second embedded broker beside mqtt.targets[0]: a process runs one, the others are mqtt://
    mqtt.targets[1].modules: names no module: leave the key out for all of them
    mqtt.targets[2].encoding: `binary` needs MQTT 5, 3.1.1 has no user properties: set protocol = "5", or encoding = "structured"
    mqtt.targets[2].modules[1]: there is no module `none`
    mqtt.targets[2].modules[2]: `orders` is named twice
    mqtt.targets[3]: publishes the same topics on the same broker as mqtt.targets[2]: set another topic_prefix, or share out the modules
    "#);
}

#[test]
fn modules_shared_out_over_one_broker_do_not_meet() {
    let toml = r#"
        [[mqtt.targets]]
        name = "a"
        url = "mqtt://one"
        modules = ["orders"]
        [[mqtt.targets]]
        name = "b"
        url = "mqtt://one"
        modules = ["stock"]
    "#;
    assert_eq!(problems(toml), "");
    let word = "[[mqtt.targets]]\nname = \"a\"\nencoding = \"Binary\"\n";
    let unknown = toml::from_str::<Config>(word).unwrap_err();
    assert!(unknown.to_string().contains("structured"), "{unknown}");
}
