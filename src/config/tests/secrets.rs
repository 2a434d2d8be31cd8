//! What is printed holds no secret.

use super::given;

#[test]
fn what_is_printed_loads_again_and_holds_no_secret() {
    let toml = r#"
        [database]
        url = "postgres://u:geheim@h/db?sslpassword=geheim&a=b"
        [[mqtt.targets]]
        name = "site"
        url = "mqtt://u:geheim@h:1883"
        [[modules]]
        name = "a"
        [modules.poll]
        path = "/a"
        cursor = { name = "since" }
        sunset.at = 1
    "#;
    let toml = toml.replace(
        "        sunset.at = 1\n",
        "        [modules.sunset]\n        at = 2030-01-01T00:00:00Z\n",
    );
    let config = given(&toml).config();
    let printed = config.to_toml();
    assert!(!printed.contains("geheim"), "{printed}");
    assert!(!format!("{config:?}").contains("geheim"), "{config:?}");
    assert!(!format!("{:?}", config.mqtt.targets[0].endpoint()).contains("geheim"));
    assert_eq!(given(&printed).config().to_toml(), printed);
}

#[test]
fn nor_of_what_callers_and_brokers_show() {
    let hash = "0123456789abcdef".repeat(4);
    let toml = format!(
        r#"
        [broker_hooks]
        secret = "geheim-0123456789"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "HS256"
        secret = "geheim, and longer than 32 bytes as it must be"
        [[auth.callers]]
        kind = "key"
        [[auth.callers.keys]]
        id = "a"
        hash = "sha256:{hash}"
        "#
    );
    let config = given(&toml).config();
    let callers = config.auth.callers();
    assert_eq!(callers.len(), 2);
    let debug = format!("{config:?} {callers:?} {:?}", config.auth.callers[1].keys);
    let bytes = format!("{:?}", callers[1]);
    for shown in [config.to_toml(), debug, bytes] {
        for secret in ["geheim", &hash, "1, 35, 69"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
}

#[test]
fn of_a_url_only_what_is_known_to_be_harmless_is_shown() {
    for (url, shown) in [
        // What sqlx knows of each database.
        (
            "postgres://u:p@h:5432/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://u:***@h:5432/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        ),
        (
            "postgres:///db?host=/run/pg&user=u&password=p&application_name=gw",
            "postgres:///db?host=/run/pg&user=u&password=***&application_name=gw",
        ),
        (
            "postgres://h/db?options=-c%20app.key%3Dp",
            "postgres://h/db?options=***",
        ),
        (
            "postgres://h/db?options[app.key]=p&statement-cache-capacity=9",
            "postgres://h/db?options[app.key]=***&statement-cache-capacity=9",
        ),
        (
            "mysql://u:p@h/db?ssl-mode=REQUIRED&charset=utf8mb4&timezone=UTC",
            "mysql://u:***@h/db?ssl-mode=REQUIRED&charset=utf8mb4&timezone=UTC",
        ),
        (
            "mysql://h/db?ssl-key=-----BEGIN%20PRIVATE%20KEY-----",
            "mysql://h/db?ssl-key=***",
        ),
        // An operator's slip: what had to be escaped was not.
        (
            "postgres://u:p?w@h/db?password=s3cret",
            "postgres://u:***@h/db?password=***",
        ),
        ("postgres://u:p@h/db?password=a@b", "postgres://u:***@b"),
        ("mqtt://h?password=a@b", "mqtt://***@b"),
        ("https://h/c?sig=s3cret&to=mailto:a@b", "https://***@b"),
        (
            "postgres://h/db?sslmode=require?password=s3cret",
            "postgres://h/db?sslmode=***",
        ),
        (
            "postgres://h/db?sslmode=require;password=s3cret",
            "postgres://h/db?sslmode=***",
        ),
        (
            "sqlite://data/x.db?mode=rwc&immutable",
            "sqlite://data/x.db?mode=rwc&immutable",
        ),
        // What others take: tokens go by many names.
        (
            "https://h/check?apikey=s3cret",
            "https://h/check?apikey=***",
        ),
        (
            "https://h/check?sig=s3cret&sv=2024",
            "https://h/check?sig=***&sv=***",
        ),
        (
            "https://h/check?pass%77ord=s3cret",
            "https://h/check?pass%77ord=***",
        ),
        ("https://h/check?s3cret", "https://h/check?***"),
        (
            "https://h/check?SSLMODE=s3cret",
            "https://h/check?SSLMODE=***",
        ),
        (
            "https://h/check?mode=rwc#s3cret",
            "https://h/check?mode=***",
        ),
        (
            "https://h/check?a=s3cret=s3cret&&b=",
            "https://h/check?a=***&&b=***",
        ),
        ("wss://u:s3cret@h/mqtt?t=s3cret", "wss://u:***@h/mqtt?t=***"),
        ("https://h/check", "https://h/check"),
        ("https://h/check?", "https://h/check?"),
    ] {
        let hidden = crate::config::redact::url;
        assert_eq!(hidden(url), shown, "{url}");
        assert_eq!(hidden(shown), shown, "twice hides no more");
    }
}

#[test]
fn secrets_are_hidden_also_in_malformed_urls() {
    let hidden = crate::config::redact::url;
    assert_eq!(hidden("mqtt://u:a@b@host:1"), "mqtt://u:***@host:1");
    assert_eq!(hidden("postgres://u:a/b?c@h/db"), "postgres://u:***@h/db");
    assert_eq!(
        hidden("postgres://h/db?password=x&y=z"),
        "postgres://h/db?password=***&y=***"
    );
    assert_eq!(hidden("sqlite://data/x.db"), "sqlite://data/x.db");
    let mut tree: toml::Value = toml::from_str("[a]\nclient_secret = \"x\"\nname = \"y\"").unwrap();
    crate::config::redact::tree(&mut tree);
    assert_eq!(tree["a"]["client_secret"].as_str(), Some("***"));
    assert_eq!(tree["a"]["name"].as_str(), Some("y"));
}
