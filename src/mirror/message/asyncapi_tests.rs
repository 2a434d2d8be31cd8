use super::*;

fn described(toml: &str, bound: Bound) -> BTreeMap<String, Server> {
    let config: Mqtt = toml::from_str(toml).unwrap();
    AsyncApi::new(&config, bound, &["m1".parse().unwrap()]).servers
}

fn addresses(servers: &BTreeMap<String, Server>) -> Vec<String> {
    let url = |(name, server): (&String, &Server)| {
        let path = server.pathname.as_deref().unwrap_or_default();
        format!("{name} {}://{}{path}", server.protocol, server.host)
    };
    servers.iter().map(url).collect()
}

#[test]
fn clients_are_told_the_public_addresses() {
    let servers = described(
        "[[targets]]\nname = \"a\"\nurl = \"mqtt://user:secret@10.0.0.1\"\n\
         public_url = \"mqtts://push.example.com\"\npublic_websocket_url = \"wss://push.example.com/mqtt\"",
        Bound::default(),
    );
    let expected = [
        "a mqtts://push.example.com:8883",
        "a-websocket wss://push.example.com:443/mqtt",
    ];
    assert_eq!(addresses(&servers), expected);
}

#[test]
fn no_user_and_no_password_is_told() {
    let servers = described(
        "[[targets]]\nname = \"a\"\nurl = \"mqtt://user:secret@[::1]\"",
        Bound::default(),
    );
    assert_eq!(addresses(&servers), ["a mqtt://[::1]:1883"]);
}

#[test]
fn what_the_gateway_uses_is_told_where_nothing_else_is() {
    let servers = described(
        "[[targets]]\nname = \"a\"\nurl = \"mqtts://u:secret@one\"\n\
         [[targets]]\nname = \"b\"\nurl = \"wss://two/mqtt\"\n\
         [[targets]]\nname = \"c\"\nurl = \"ws://three:8080\"\npublic_url = \"mqtt://three\"",
        Bound::default(),
    );
    let expected = [
        "a mqtts://one:8883",
        "b-websocket wss://two:443/mqtt",
        "c mqtt://three:1883",
        "c-websocket ws://three:8080",
    ];
    assert_eq!(addresses(&servers), expected);
}

#[test]
fn the_embedded_broker_stands_where_it_was_bound() {
    let bound = Bound {
        mqtt: "127.0.0.1:7001".parse().ok(),
        websocket: "127.0.0.1:7002".parse().ok(),
    };
    let toml =
        "[[targets]]\nname = \"a\"\nurl = \"embedded://127.0.0.1:0\"\nwebsocket = \"127.0.0.1:0\"";
    let expected = ["a mqtt://127.0.0.1:7001", "a-websocket ws://127.0.0.1:7002"];
    assert_eq!(addresses(&described(toml, bound)), expected);
}

#[test]
fn targets_that_differ_are_described_apart() {
    let toml = "[[targets]]\nname = \"a\"\nurl = \"mqtt://one\"\n\
                [[targets]]\nname = \"b\"\nurl = \"mqtt://two\"\ntopic_prefix = \"next\"\n\
                encoding = \"binary\"\nmodules = [\"m1\"]\n\
                [[targets]]\nname = \"c\"\nurl = \"mqtt://three\"";
    let config: Mqtt = toml::from_str(toml).unwrap();
    let modules = ["m1".parse().unwrap(), "m2".parse().unwrap()];
    let described = AsyncApi::new(&config, Bound::default(), &modules);
    let document = serde_json::to_value(described).unwrap();
    let channels = &document["channels"];
    let servers = |channel: &str| channels[channel]["servers"].to_string();
    assert_eq!(
        servers("changes-a"),
        r##"[{"$ref":"#/servers/a"},{"$ref":"#/servers/c"}]"##
    );
    assert_eq!(servers("bookmarks-b"), r##"[{"$ref":"#/servers/b"}]"##);
    let of_b = &channels["changes-b"];
    assert_eq!(of_b["address"], "next/c/{module}/{audience}");
    assert_eq!(
        of_b["parameters"]["module"]["enum"],
        serde_json::json!(["m1"])
    );
    let message = &document["components"]["messages"]["binaryChange"];
    assert!(
        message["headers"]["properties"]["sequence"].is_object(),
        "{message}"
    );
    assert!(
        message["headers"]["properties"]["data"].is_null(),
        "{message}"
    );
    assert_eq!(channels.as_object().unwrap().len(), 4);
}
