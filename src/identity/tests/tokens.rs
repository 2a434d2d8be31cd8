//! Tokens, each by what it says and who signed it.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use super::{
    Given, NOW_S, bearer, identity,
    keys::{SECRET, Signer, set},
    told,
};
use crate::identity::Identity;

fn with_secret(more: &str) -> String {
    format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n{more}"
    )
}

async fn who(identity: &Identity, said: &Value) -> String {
    told(
        &bearer(&Signer::secret(SECRET).sign(said))
            .of(identity)
            .await,
    )
}

#[tokio::test]
async fn what_a_token_says_is_judged() {
    let more = r#"
        issuer = "us"
        audience = ["gateway", "other"]
        max_age_s = 7200
        audiences = ["account:{sub}", "{groups}", "{/realm/roles}"]
    "#;
    let right =
        json!({"sub": "u1", "iss": "us", "aud": "gateway", "iat": NOW_S, "exp": NOW_S + 60});
    for (change, wanted) in [
        (json!({}), "jwt:u1 [account:u1]"),
        (json!({"sub": 7}), "jwt:7 [account:7]"),
        (
            json!({"groups": ["b", "a", "b"]}),
            "jwt:u1 [a account:u1 b]",
        ),
        (json!({"groups": []}), "jwt:u1 [account:u1]"),
        (json!({"groups": null}), "jwt:u1 [account:u1]"),
        (json!({"groups": ["*", "a"]}), "jwt:u1 [a account:u1]"),
        (json!({"groups": "*"}), "jwt:u1 [account:u1]"),
        (json!({"realm": {"roles": ["r"]}}), "jwt:u1 [account:u1 r]"),
        (
            json!({"groups": ["1", "2", "3", "4", "5", "6", "7"]}),
            "jwt:u1 [1 2 3 4 5 6 7 account:u1]",
        ),
        (
            json!({"groups": ["1", "2", "3", "4", "5", "6", "7", "8"]}),
            "not_accepted",
        ),
        (json!({"groups": ["a\nb"]}), "not_accepted"),
        (json!({"groups": ["a".repeat(65)]}), "not_accepted"),
        (json!({"groups": [""]}), "not_accepted"),
        (json!({"groups": [{"a": 1}]}), "not_accepted"),
        (json!({"groups": [true]}), "not_accepted"),
        (json!({"sub": null}), "not_accepted"),
        (json!({"sub": ""}), "not_accepted"),
        (json!({"sub": ["u1"]}), "not_accepted"),
        (json!({"sub": "u\u{0}1"}), "not_accepted"),
        (json!({"sub": "u".repeat(129)}), "not_accepted"),
        (json!({"aud": ["x", "other"]}), "jwt:u1 [account:u1]"),
        (json!({"aud": ["x"]}), "not_accepted"),
        (json!({"aud": null}), "not_accepted"),
        (json!({"iss": "them"}), "not_accepted"),
        (json!({"iss": ["us"]}), "not_accepted"),
        (json!({"exp": NOW_S - 29}), "jwt:u1 [account:u1]"),
        (json!({"exp": NOW_S - 30}), "expired"),
        (json!({"exp": null}), "not_accepted"),
        (json!({"exp": "soon"}), "not_accepted"),
        (json!({"exp": 1e300}), "jwt:u1 [account:u1]"),
        (json!({"exp": -1e300}), "expired"),
        (json!({"nbf": NOW_S + 30}), "jwt:u1 [account:u1]"),
        (json!({"nbf": NOW_S + 31}), "not_accepted"),
        (json!({"iat": NOW_S + 31}), "not_accepted"),
        (json!({"iat": null}), "not_accepted"),
        (
            json!({"iat": NOW_S - 7_229, "exp": NOW_S + 9_999}),
            "jwt:u1 [account:u1]",
        ),
        (
            json!({"iat": NOW_S - 7_230, "exp": NOW_S + 9_999}),
            "expired",
        ),
    ] {
        let (identity, _) = identity(&with_secret(more));
        let mut said = right.clone();
        for (key, value) in change.as_object().unwrap() {
            said[key] = value.clone();
        }
        assert_eq!(who(&identity, &said).await, wanted, "{change}");
    }
}

#[tokio::test]
async fn who_was_recognized_is_believed_until_the_token_ends() {
    let (identity, clock) = identity(&with_secret("audiences = [\"{sub}\"]\nleeway_s = 0"));
    let request = bearer(&Signer::secret(SECRET).token("u1"));
    assert_eq!(told(&request.of(&identity).await), "jwt:u1 [u1]");
    clock.forward(Duration::from_secs(3_599));
    assert_eq!(told(&request.of(&identity).await), "jwt:u1 [u1]");
    clock.forward(Duration::from_secs(1));
    assert_eq!(told(&request.of(&identity).await), "expired");
}

#[tokio::test]
async fn the_configuration_says_how_tokens_are_signed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let toml = format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = [\"RS256\", \"ES256\", \"EdDSA\"]\npublic_key_file = \"{}\"",
        file.display()
    );
    let all = [Signer::rsa(), Signer::ec(), Signer::ed()];
    for signer in &all {
        for content in [signer.public.clone(), set(&[signer])] {
            fs::write(&file, &content).unwrap();
            let (identity, _) = identity(&toml);
            for other in &all {
                let wanted = if std::ptr::eq(other, signer) {
                    "jwt:u1 []"
                } else {
                    "not_accepted"
                };
                let who = told(&bearer(&other.token("u1")).of(&identity).await);
                assert_eq!(who, wanted, "{:?} {:?}", signer.algorithm, other.algorithm);
            }
            // The public key as a secret: the oldest trick.
            let forged = Signer::secret(&content).token("u1");
            assert_eq!(told(&bearer(&forged).of(&identity).await), "not_accepted");
        }
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let (identity, _) = identity(&with_secret(""));
    let token = Signer::secret(SECRET).token("u1");
    let (_, claims_and_signature) = token.split_once('.').unwrap();
    // {"alg":"none"}, {"alg":"HS512"} and {"alg":"HS256","crit":["exp"]} in base64.
    for head in [
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJIUzUxMiJ9",
        "eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiZXhwIl19",
    ] {
        let forged = format!("{head}.{claims_and_signature}");
        assert_eq!(
            told(&bearer(&forged).from("2001:db8::1").of(&identity).await),
            "not_accepted",
            "{head}"
        );
        let (body, _) = forged.rsplit_once('.').unwrap();
        let unsigned = format!("{body}.");
        assert_eq!(told(&bearer(&unsigned).of(&identity).await), "not_accepted");
    }
    let other = Signer::secret("another secret of thirty-two bytes").token("u1");
    assert_eq!(told(&bearer(&other).of(&identity).await), "not_accepted");
    assert_eq!(told(&Given::default().of(&identity).await), "missing");
}

#[tokio::test]
async fn a_key_that_is_replaced_refuses_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("set.json");
    let (old, new) = (Signer::ec().named("old"), Signer::ec().named("new"));
    fs::write(&file, set(&[&old])).unwrap();
    let (identity, _) = identity(&format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"ES256\"\npublic_key_file = \"{}\"",
        file.display()
    ));
    let (identity, stop) = (
        std::sync::Arc::new(identity),
        tokio_util::sync::CancellationToken::new(),
    );
    let (kept, until) = (identity.clone(), stop.clone());
    let keeping = tokio::spawn(async move { kept.keep(until).await });
    let (old, new) = (bearer(&old.token("u1")), (bearer(&new.token("u1")), new));
    assert_eq!(told(&old.of(&identity).await), "jwt:u1 []");
    assert_eq!(told(&new.0.of(&identity).await), "not_accepted");
    // What is no set changes nothing.
    fs::write(&file, "{\"keys\":").unwrap();
    fs::write(&file, set(&[&new.1])).unwrap();
    let becomes = async {
        while told(&new.0.of(&identity).await) != "jwt:u1 []" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), becomes)
        .await
        .unwrap();
    assert_eq!(told(&old.of(&identity).await), "not_accepted");
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn the_last_key_of_a_file_can_be_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("set.json");
    let known = Signer::ec().named("known");
    fs::write(&file, set(&[&known])).unwrap();
    let (identity, _) = identity(&format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"ES256\"\nkeys_stale_for = \"3s\"\npublic_key_file = \"{}\"",
        file.display()
    ));
    let (identity, stop) = (
        std::sync::Arc::new(identity),
        tokio_util::sync::CancellationToken::new(),
    );
    let (kept, until) = (identity.clone(), stop.clone());
    let keeping = tokio::spawn(async move { kept.keep(until).await });
    let request = bearer(&known.token("u1"));
    let becomes = async |wanted: &str| {
        let becomes = async {
            while told(&request.of(&identity).await) != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), becomes)
            .await
            .unwrap();
    };
    becomes("jwt:u1 []").await;
    fs::write(&file, "{\"keys\":[]}").unwrap();
    becomes("not_accepted").await;
    fs::write(&file, set(&[&known])).unwrap();
    becomes("jwt:u1 []").await;
    // What cannot be read leaves them in force, and not for ever.
    let began = std::time::Instant::now();
    fs::remove_file(&file).unwrap();
    becomes("unavailable").await;
    assert!(began.elapsed() >= Duration::from_secs(3));
    fs::write(&file, set(&[&known])).unwrap();
    becomes("jwt:u1 []").await;
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_set_without_keys_is_one_at_the_start_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("set.json");
    let toml = format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"ES256\"\npublic_key_file = \"{}\"",
        file.display()
    );
    fs::write(&file, "{\"keys\":[]}").unwrap();
    let (empty, _) = identity(&toml);
    let request = bearer(&Signer::ec().token("u1"));
    assert_eq!(told(&request.of(&empty).await), "not_accepted");
    // Keys of another algorithm are a mistake.
    fs::write(&file, set(&[&Signer::ed()])).unwrap();
    let clock = super::Hand::new();
    let problems = Identity::problems(&super::config(&toml), clock);
    assert!(problems.to_string().contains("no key of the configured"));
}

#[tokio::test]
async fn a_claim_that_runs_into_the_next_one_is_refused() {
    let more = "client = \"{sub}\"\nagent = \"{app}/{sub}\"\naudiences = [\"{org}:{sub}\"]";
    let (identity, _) = identity(&with_secret(more));
    for (org, sub, wanted) in [
        (json!("u"), "1:x", "jwt:1:x [u:1:x]"),
        (json!("u:1"), "x", "not_accepted"),
        (json!(["a", "b"]), "x", "jwt:x [a:x b:x]"),
        (json!(["a", "b:"]), "x", "not_accepted"),
        (json!([]), "x", "jwt:x []"),
    ] {
        let said = json!({"org": org, "sub": sub, "app": "a/b", "exp": NOW_S + 60});
        assert_eq!(who(&identity, &said).await, wanted, "{said}");
    }
}
