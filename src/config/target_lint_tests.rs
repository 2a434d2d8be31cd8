use insta::assert_snapshot;

use super::*;

/// Errors and warnings, each with its weight.
fn findings(toml: &str) -> String {
    let config: Config = toml::from_str(toml).unwrap();
    let Findings { errors, warnings } = look(&config);
    let lines = errors.iter().map(|one| format!("error: {one}"));
    let lines = lines.chain(warnings.iter().map(|one| format!("warning: {one}")));
    lines.collect::<Vec<_>>().join("\n")
}

const MODULES: &str = "modules = [{ name = \"orders\" }]\n";

fn on(profile: &str, target: &str, rest: &str) -> String {
    findings(&format!(
        "{MODULES}{rest}\n[[mqtt.targets]]\nname = \"b\"\nurl = \"mqtt://h\"\nprofile = \"{profile}\"\n{target}"
    ))
}

#[test]
fn nobody_is_bothered_without_a_profile() {
    assert_eq!(findings(""), "");
    assert_eq!(findings(MODULES), "");
    let mqtt = "[[mqtt.targets]]\nurl = \"mqtt://h\"\n";
    assert_eq!(findings(&format!("{MODULES}{mqtt}")), "");
    assert_eq!(on("mosquitto", "", ""), "");
    assert_eq!(on("hivemq", "", ""), "");
    assert_eq!(on("emqx", "", ""), "");
}

#[test]
fn what_never_fits_is_an_error_with_the_way_out() {
    assert_snapshot!(on("nats", "", ""), @r#"error: mqtt.targets[0].protocol: target `b` (nats) speaks no MQTT 5: set "3.1.1""#);
    let deep = "mqtt.topic_prefix = \"a/b/c/d/e/f\"";
    assert_snapshot!(on("aws-iot", "", deep), @r#"
    error: mqtt.topic_prefix: makes topics of 9 levels, target `b` (aws-iot) takes 8: use fewer `/`
    warning: limits.value_bytes: values of more than about 129984 bytes go to target `b` (aws-iot) as pointers, and clients read them from the stream: allow smaller ones to avoid that
    warning: server.public_url: absent, so the pointers hold relative addresses: set it to where clients find server.public
    "#);
    let dotted = "mqtt.topic_prefix = \"push.example\"";
    assert_snapshot!(on("rabbitmq", "", dotted), @r#"error: mqtt.topic_prefix: holds `.`, which target `b` (rabbitmq) does not take in topics: use letters, digits, `-` and `_`"#);
    let long = format!("mqtt.topic_prefix = \"{}\"", "p".repeat(55));
    assert_snapshot!(on("portable", "", &long), @r#"
    error: modules[0].name: its shortest topic has 69 bytes, target `b` (portable) takes 64: shorten the name or mqtt.topic_prefix
    warning: limits.value_bytes: values of more than about 64448 bytes go to target `b` (portable) as pointers, and clients read them from the stream: allow smaller ones to avoid that
    warning: server.public_url: absent, so the pointers hold relative addresses: set it to where clients find server.public
    "#);
    assert_snapshot!(on("aliyun", "limits = { publishes_per_s = 20 }", "limits.audience_bytes = 30"), @r#"
    error: mqtt.client_id_prefix: target `b` (aliyun) takes no client id without `@@@`: write your group before it, such as "GID_gateway@@@gw"
    warning: mqtt.targets[0].profile: audiences with other characters than letters, digits, `-` and `_`, or too long ones, are written with `=`, which target `b` (aliyun) is not documented to take
    warning: limits.value_bytes: values of more than about 64482 bytes go to target `b` (aliyun) as pointers, and clients read them from the stream: allow smaller ones to avoid that
    warning: server.public_url: absent, so the pointers hold relative addresses: set it to where clients find server.public
    "#);
    let often = "mirror.bookmark_ms = 100";
    assert_snapshot!(on("mqtt", "limits = { publishes_per_s = 9 }", often), @r#"error: mirror.bookmark_ms: the retained messages, one of each module, take 10 publishes a second, more than the 9 of target `b` (mqtt): make it longer"#);
}

#[test]
fn what_may_not_fit_is_a_warning() {
    assert_snapshot!(on("portable", "", ""), @r#"
    warning: limits.audience_bytes: audiences of more than 44 bytes get a hash for their topics on target `b` (portable): clients must take topics from the gateway and not compute them
    warning: mqtt.targets[0].profile: audiences with other characters than letters, digits, `-` and `_`, or too long ones, are written with `=`, which target `b` (portable) is not documented to take
    warning: limits.value_bytes: values of more than about 64448 bytes go to target `b` (portable) as pointers, and clients read them from the stream: allow smaller ones to avoid that
    warning: server.public_url: absent, so the pointers hold relative addresses: set it to where clients find server.public
    "#);
    let prefix = "mqtt.topic_prefix = \"a-somewhat-long-one\"\nlimits.value_bytes = 1000";
    assert_snapshot!(on("mqtt", "limits = { topic_bytes = 56 }", prefix), @r#"warning: modules[0].name: an audience of more than 27 bytes has no topic on target `b` (mqtt), and would halt the module there: shorten the name or mqtt.topic_prefix by 1 bytes"#);
    let group = "mqtt.client_id_prefix = \"GID_x@@@gw\"\nlimits.value_bytes = 1000";
    assert_snapshot!(on("aliyun", "", group), @r#"
    warning: limits.audience_bytes: audiences of more than 44 bytes get a hash for their topics on target `b` (aliyun): clients must take topics from the gateway and not compute them
    warning: mqtt.targets[0].profile: audiences with other characters than letters, digits, `-` and `_`, or too long ones, are written with `=`, which target `b` (aliyun) is not documented to take
    warning: mqtt.targets[0].limits.publishes_per_s: absent, and target `b` (aliyun) throttles by what was bought and may lose messages beyond: set the gateway's share
    "#);
    assert_snapshot!(on("mqtt", "limits = { payload_bytes = 1024 }", ""), @r#"warning: limits.key_bytes: a change with a key of 512 bytes may fit target `b` (mqtt) not even without its value, and would halt its module there: allow smaller keys"#);
    let often = "mirror.bookmark_ms = 100";
    assert_snapshot!(on("mqtt", "limits = { publishes_per_s = 15 }", often), @r#"warning: mirror.bookmark_ms: the retained messages, one of each module, take 10 publishes a second, more than half of the 15 of target `b` (mqtt): make it longer"#);
    let small = "broker.packet_bytes = 65536\nserver.public_url = \"https://gw.example.com\"";
    assert_snapshot!(findings(&format!("{MODULES}{small}")), @r#"warning: limits.value_bytes: values of more than about 63936 bytes go to target `local` (embedded) as pointers, and clients read them from the stream: allow smaller ones to avoid that"#);
}

#[test]
fn what_a_target_has_of_its_own_is_measured_and_named() {
    let toml = |own: &str| {
        format!(
            "mqtt.topic_prefix = \"{}\"\nlimits.value_bytes = 1000\n\
             modules = [{{ name = \"orders\" }}, {{ name = \"a-module-with-a-long-name\" }}]\n\
             [[mqtt.targets]]\nname = \"b\"\nurl = \"mqtt://h\"\nlimits = {{ topic_bytes = 64 }}\n{own}",
            "p".repeat(60)
        )
    };
    assert_snapshot!(findings(&toml("")), @r#"
    error: modules[0].name: its shortest topic has 74 bytes, target `b` (mqtt) takes 64: shorten the name or mqtt.topic_prefix
    error: modules[1].name: its shortest topic has 93 bytes, target `b` (mqtt) takes 64: shorten the name or mqtt.topic_prefix
    "#);
    let prefix = "topic_prefix = \"own\"";
    assert_snapshot!(findings(&toml(prefix)), @r#"warning: limits.audience_bytes: audiences of more than 32 bytes get a hash for their topics on target `b` (mqtt): clients must take topics from the gateway and not compute them"#);
    let module = "modules = [\"orders\"]";
    assert_snapshot!(findings(&toml(module)), @r#"error: modules[0].name: its shortest topic has 74 bytes, target `b` (mqtt) takes 64: shorten the name or mqtt.topic_prefix"#);
    assert_snapshot!(findings(&toml(&format!("{prefix}\n{module}"))), @r#"warning: limits.audience_bytes: audiences of more than 51 bytes get a hash for their topics on target `b` (mqtt): clients must take topics from the gateway and not compute them"#);
    let long = format!("topic_prefix = \"{}\"\n{module}", "o".repeat(60));
    assert_snapshot!(findings(&toml(&long)), @r#"error: modules[0].name: its shortest topic has 74 bytes, target `b` (mqtt) takes 64: shorten the name or mqtt.targets[0].topic_prefix"#);
}

#[test]
fn a_module_for_everyone_needs_no_room_for_audiences() {
    let toml = "mqtt.topic_prefix = \"a-somewhat-long-one\"\n\
        [[mqtt.targets]]\nurl = \"mqtt://h\"\nlimits = { topic_bytes = 56 }\n\
        [[modules]]\nname = \"orders\"\n[modules.poll]\npath = \"/o\"\n";
    assert_eq!(findings(toml), "");
}
