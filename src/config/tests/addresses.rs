//! Where the process listens, where its database and its brokers are, and who may come from where.

use insta::assert_snapshot;

use super::given;
use crate::config::{Config, Problems};

#[test]
fn listeners_are_checked_against_each_other_and_for_who_may_reach_them() {
    let toml = r#"
        [server]
        public = "0.0.0.0:8080"
        private = "192.0.2.1:8080"
        private_hosts = ["good.example", "bad host"]
        instance = "a b"
        [[mqtt.targets]]
        url = "embedded://0.0.0.0:1883"
        websocket = "127.0.0.1:1883"
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    server.private_hosts[1]: must be a host name or address as it stands in a Host header, such as "gateway.internal" (from changeover.toml)
    server.instance: must be at most 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`: it becomes part of MQTT client ids (from changeover.toml)
    server.public: 0.0.0.0:8080 is not a loopback address, and every caller is believed who it says it is: use 127.0.0.1, or set auth.open_i_understand = true (from changeover.toml)
    server.private: 192.0.2.1:8080 is already taken by server.public: use another port (from changeover.toml)
    mqtt.targets[0].url: 0.0.0.0:1883 is not a loopback address, and every caller is believed who it says it is: use 127.0.0.1, or set auth.open_i_understand = true (from changeover.toml)
    mqtt.targets[0].websocket: 127.0.0.1:1883 is already taken by mqtt.targets[0].url: use another port (from changeover.toml)
    "#);
    let allowed = r#"
        auth.open_i_understand = true
        [server]
        public = "0.0.0.0:8080"
        private = "192.0.2.1:8081"
    "#;
    let warnings = given(allowed).config().warnings().to_string();
    let of_tokens = "server.private: 192.0.2.1:8081 is not a loopback address, and what goes over it is not encrypted";
    assert!(warnings.contains(of_tokens), "{warnings}");
    let asking = r#"
        server.private = "192.0.2.1:8081"
        [server.private_tls]
        cert_file = "a"
        key_file = "b"
        client_ca_file = "c"
    "#;
    let warnings = given(asking).config().warnings().to_string();
    assert!(!warnings.contains("not encrypted"), "{warnings}");
}

#[test]
fn certificates_need_both_files_and_a_burst_needs_a_pace() {
    let toml = r#"
        server.max_url_bytes = 100000
        server.public_tls.key_file = "b"
        server.private_tls.client_ca_file = "c"
        rate.per_address.burst = 5
        rate.per_caller = { per_second = 2000000 }
    "#;
    assert_snapshot!(given(toml).problems(), @r#"
    server.max_url_bytes: must be from 256 to 65534, not 100000 (from changeover.toml)
    server.public_tls.cert_file: must name a file in PEM: TLS needs a certificate and its key (from changeover.toml)
    server.private_tls.cert_file: must name a file in PEM: TLS needs a certificate and its key (from changeover.toml)
    server.private_tls.key_file: must name a file in PEM: TLS needs a certificate and its key (from changeover.toml)
    rate.per_address.burst: says nothing while per_second is 0: set both (from changeover.toml)
    rate.per_caller.per_second: must be from 0 to 1000000, not 2000000 (from changeover.toml)
    "#);
}

#[test]
fn the_default_broker_is_a_listener_too() {
    let toml = "server.public = \"127.0.0.1:1883\"";
    assert_snapshot!(given(toml).problems(), @r#"mqtt.targets[0].url: 127.0.0.1:1883 is already taken by server.public: use another port"#);
}

#[test]
fn database_urls() {
    let verdict = |url: &str| {
        let given = given("").flag("database.url", url);
        given
            .load()
            .err()
            .map_or("fine".to_owned(), |p| p.to_string())
    };
    for fine in [
        "sqlite:x.db",
        "sqlite:///var/x.db",
        "postgres://u:p@h/db",
        "postgresql://h:5/db",
        "mysql://u:p@h/db",
        "mariadb://u@localhost/db?socket=/run/mysqld/mysqld.sock",
    ] {
        assert_eq!(verdict(fine), "fine", "{fine}");
    }
    let wrong = [
        "",
        "x.db",
        "oracle://h/db",
        "mysql://u:geheim@h",
        "mariadb:///db",
        "sqlite://",
        "sqlite::memory:",
        "postgres://h",
        "postgres:///db",
        "postgres://u:ge/heim@h/db",
    ];
    let all: Vec<_> = wrong.iter().map(|url| verdict(url)).collect();
    let all = all.join("\n");
    assert!(!all.contains("heim"), "{all}");
    assert_snapshot!(all, @r#"
    database.url: is not a database URL: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: is not a database URL: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: `oracle://` is not supported: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no database after the host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no file: write sqlite://path/to/file.db (from --set database.url)
    database.url: a database in memory forgets the log with the process: name a file (from --set database.url)
    database.url: names no database after the host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: names no host: write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name (from --set database.url)
    database.url: cannot be read (invalid port number): write sqlite://path/to/file.db, postgres://user:password@host:5432/name or mysql://user:password@host:3306/name, and percent-encode special characters in the password (from --set database.url)
    "#);
}

#[test]
fn targets_and_topics() {
    let toml = r#"
        [mqtt]
        topic_prefix = "a/+/b"
        client_id_prefix = "no spaces"
        targets = [
            { name = "Big", url = "mqtts://h" },
            { name = "two", url = "mqtt://u:geheim@h", websocket = "127.0.0.1:8083" },
            { name = "two", url = "embedded://localhost:1883", public_url = "mqtt://u:geheim@h" },
            { name = "", url = "embedded://u:geheim@127.0.0.1:1883", public_websocket_url = "mqtt://h" },
            { name = "five", url = "mqtt://h/path" },
            { name = "six", url = "amqp://h" },
            { name = "seven", url = "not a url" },
            { name = "eight", url = "mqtt://h:0" },
            { name = "nine", url = "mqtt://u:%ff@h" },
        ]
    "#;
    let problems = given(toml).problems();
    assert!(!problems.contains("geheim"), "{problems}");
    assert_snapshot!(problems, @r#"
    mqtt.topic_prefix: must not contain the wildcards `+` and `#` (from changeover.toml)
    mqtt.client_id_prefix: must be 1 to 32 characters of A-Z, a-z, 0-9, `_`, `-` and `@` (from changeover.toml)
    mqtt.targets[0].name: must be 1 to 32 characters of a-z, 0-9 and `-` (from changeover.toml)
    mqtt.targets[1].websocket: is for embedded:// targets: an external broker opens its own, say where with public_websocket_url (from changeover.toml)
    mqtt.targets[2].url: an embedded broker listens on an IP address, such as embedded://127.0.0.1:1883 (from changeover.toml)
    mqtt.targets[2].public_url: must not hold a user or password: every client is told this URL (from changeover.toml)
    mqtt.targets[2].name: `two` is already the name of mqtt.targets[1] (from changeover.toml)
    mqtt.targets[3].name: must be 1 to 32 characters of a-z, 0-9 and `-` (from changeover.toml)
    mqtt.targets[3].url: the embedded broker takes no user or password: remove them (from changeover.toml)
    mqtt.targets[3].public_websocket_url: must be a ws:// or wss:// URL (from changeover.toml)
    mqtt.targets[4].url: must end after the port (from changeover.toml)
    mqtt.targets[5].url: `amqp://` is not supported: use embedded://, mqtt://, mqtts://, ws:// or wss:// (from changeover.toml)
    mqtt.targets[6].url: cannot be read (relative URL without a base): write mqtt://host:1883, mqtts://host:8883, wss://host/path or embedded://127.0.0.1:1883, and percent-encode special characters in a password (from changeover.toml)
    mqtt.targets[7].url: port 0 cannot be reached (from changeover.toml)
    mqtt.targets[8].url: user and password must be UTF-8 once percent-decoded (from changeover.toml)
    "#);
}

#[test]
fn topic_prefixes() {
    for (prefix, word) in [
        ("", "64 bytes"),
        ("a#", "wildcards"),
        ("/a", "begin or end"),
        ("a/", "begin or end"),
        ("a//b", "begin or end"),
        ("$SYS", "`$`"),
        ("a\u{7}", "control"),
    ] {
        let config = Config {
            mqtt: crate::config::mqtt::Mqtt {
                topic_prefix: prefix.to_owned(),
                ..Default::default()
            },
            ..Default::default()
        };
        let mut problems = Problems::new();
        config.validate(&mut problems);
        assert!(problems.to_string().contains(word), "{prefix}: {problems}");
    }
}

#[test]
fn user_and_password_of_a_target_are_percent_decoded() {
    let config = given("[[mqtt.targets]]\nurl = \"mqtt://us%40er:p%2Fw%3A@[::1]\"").config();
    let endpoint = config.mqtt.targets[0].endpoint();
    assert_eq!(endpoint.username.as_deref(), Some("us@er"));
    assert_eq!(endpoint.password.as_deref(), Some("p/w:"));
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 1883));
}

#[test]
fn origins_are_as_browsers_send_them() {
    let toml = "[server]\ncors_origins = [\"https://app.example.com\", \"*\", \"http://localhost:3000\", \"https://a.example/\", \"a.example\", \"\"]\n[native]\npage_changes = 0\n";
    assert_snapshot!(given(toml).problems(), @r#"
    server.cors_origins[3]: must be an origin as browsers send it, such as "https://app.example.com" without a path, or "*" (from changeover.toml)
    server.cors_origins[4]: must be an origin as browsers send it, such as "https://app.example.com" without a path, or "*" (from changeover.toml)
    server.cors_origins[5]: must be an origin as browsers send it, such as "https://app.example.com" without a path, or "*" (from changeover.toml)
    native.page_changes: must be from 1 to 100000, not 0 (from changeover.toml)
    "#);
}
