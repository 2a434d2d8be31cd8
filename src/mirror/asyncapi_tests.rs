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
