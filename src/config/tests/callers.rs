//! Who may call, and how that is said.

use insta::assert_snapshot;

use super::given;
use crate::config::auth::{KeySource, Kind, Recognizer};

#[test]
fn the_example_of_a_token_loads() {
    let toml = r#"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "HS256"
        secret_file = "/run/secrets/jwt"
        audiences = ["{sub}"]
    "#;
    let config = given(toml).config();
    let callers = config.auth.callers();
    assert_eq!(callers.len(), 1);
    assert_eq!(callers[0].name, Kind::Jwt.as_str());
    assert_eq!(callers[0].yields.client.to_string(), "{sub}");
    let Recognizer::Jwt(jwt) = &callers[0].recognizer else {
        panic!("{callers:?}")
    };
    assert!(matches!(jwt.keys, KeySource::Secret(_)));
    assert!(!config.auth.is_open() && config.who_is_open().is_none());
}

#[test]
fn what_a_kind_does_not_know_is_a_problem() {
    let toml = r#"
        [[auth.callers]]
        name = "a b"
        [[auth.callers]]
        kind = "jwt"
        algorithm = ["RS256", "none"]
        jwks_url = "ftp://issuer"
        secret = "geheim"
        check_url = "http://legacy"
        audiences = ["account:{sub", "}"]
        [[auth.callers]]
        kind = "forward"
        credential = { name = "X" }
        shows = [{ in = "query", name = "token" }]
        check_url = "http://user:geheim@legacy/check"
        refuses = [500]
        when_down = "refuse"
        [[auth.callers]]
        kind = "header"
        credential = { name = "X-User" }
        networks = ["10.0.0.1/8"]
        client_ids = "any"
        [[auth.callers]]
        kind = "key"
        name = "header"
        credential = { in = "cookie", name = "a b", scheme = "x" }
        keys = [{ id = "", hash = "geheim" }]
        [[auth.callers]]
        kind = "open"
        audiences = ["x"]
        [[auth.callers]]
        kind = "open"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "RS256"
        secret = "geheim"
    "#;
    let problems = given(toml).problems();
    assert!(!problems.contains("geheim"), "{problems}");
    assert_snapshot!(problems);
}

#[test]
fn modules_take_callers_by_their_names() {
    let toml = |callers: &str| {
        format!(
            r#"
            server.public = "0.0.0.0:8080"
            [[mqtt.targets]]
            url = "embedded://127.0.0.1:1883"
            [[auth.callers]]
            kind = "jwt"
            algorithm = "EdDSA"
            public_key_file = "/etc/key"
            [[auth.callers]]
            kind = "open"
            [[modules]]
            name = "a"
            callers = {callers}
            [modules.poll]
            path = "/a"
            cursor = {{ name = "since" }}
            audience = {{ claim = "sub" }}
            "#
        )
    };
    let config = given(&toml(r#"["jwt"]"#)).config();
    assert_eq!(config.claims().into_iter().collect::<Vec<_>>(), ["sub"]);
    let wrong = [r#"["jwt", "open"]"#, r#"["jvt"]"#, "[]"];
    let wrong = wrong.map(|callers| given(&toml(callers)).problems());
    assert_snapshot!(wrong.join("\n\n"));
}

#[test]
fn names_are_told_apart() {
    let toml = r#"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "EdDSA"
        public_key_file = "/etc/key"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "EdDSA"
        public_key_file = "/etc/other"
        [[auth.callers]]
        kind = "open"
    "#;
    assert_eq!(given(toml).config().auth.names(), ["jwt", "jwt2", "open"]);
}

#[test]
fn no_secret_is_printed() {
    let toml = r#"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "HS256"
        secret = "geheim geheim geheim geheim geheim"
    "#;
    let config = given(toml).config();
    let shown = format!(
        "{} {config:?} {:?}",
        config.to_toml(),
        config.auth.callers()
    );
    assert!(!shown.contains("geheim"), "{shown}");
    let typo = toml.replace("secret =", "secret = 5 #");
    assert!(!given(&typo).problems().contains("geheim"));
}

#[test]
fn what_decides_and_what_stands_between_claims_is_looked_at() {
    let toml = r#"
        [auth]
        locked_checks = 0
        max_new_verdicts = 0
        [[auth.callers]]
        kind = "forward"
        check_url = "http://legacy/check"
        shows = [{ name = "X-Device", decides = false }]
        client = "{a}{b}"
        max_concurrent = 4
        max_concurrent_per_address = 5
        max_credential_bytes = 0
        ttl = "1h"
        good_for = "1m"
        keys_stale_for = "1m"
        [[auth.callers]]
        kind = "jwt"
        algorithm = "EdDSA"
        public_key_file = "/etc/key"
        keys_stale_for = "0s"
        good_for = "1h"
    "#;
    assert_snapshot!(given(toml).problems());
}
