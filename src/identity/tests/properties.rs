//! Whatever is sent.

use proptest::prelude::*;
use serde_json::json;

use super::{
    Given, bearer, identity,
    keys::{SECRET, Signer},
    told,
};
use crate::identity::Identity;

fn tokens() -> Identity {
    identity(&format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\naudiences = [\"{{sub}}\"]"
    ))
    .0
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// As bytes of a header may be.
fn is_value(bytes: &[u8]) -> bool {
    http::HeaderValue::from_bytes(bytes).is_ok()
}

proptest! {
    #[test]
    fn no_bytes_are_a_token(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let identity = tokens();
        let mut given = Given::default();
        if is_value(&bytes) {
            let whole = [b"Bearer ".as_slice(), &bytes].concat();
            given.headers.insert("authorization", http::HeaderValue::from_bytes(&whole).unwrap());
        }
        given.query = Some(String::from_utf8_lossy(&bytes).into_owned());
        prop_assert!(now(given.of(&identity)).is_err());
    }

    #[test]
    fn parts_in_base64_are_no_token(parts in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        prop_assert!(now(bearer(&parts).of(&tokens())).is_err());
    }

    #[test]
    fn a_token_with_another_byte_is_another_token(at in any::<prop::sample::Index>(), byte in 0x21_u8..0x7f) {
        let mut token = Signer::secret(SECRET).token("u1").into_bytes();
        let at = at.index(token.len());
        prop_assume!(token[at] != byte);
        token[at] = byte;
        let who = now(bearer(std::str::from_utf8(&token).unwrap()).of(&tokens()));
        prop_assert!(who.is_err(), "{}", told(&who));
    }
}

/// Claims that users may choose, out of what stands between them too.
fn chosen() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop::sample::select(vec![":", "u", "1", "::", "-", ":u"]),
        1..5,
    )
    .prop_map(|parts| parts.concat())
}

/// All ways to read a text as three claims with this text between them.
fn readings(whole: &str, between: &str) -> Vec<[String; 3]> {
    let places = || (0..whole.len()).filter(|at| whole[*at..].starts_with(between));
    let two = places().flat_map(|first| places().map(move |second| (first, second)));
    let apart = two.filter(|(first, second)| first + between.len() <= *second);
    let read = |(first, second): (usize, usize)| {
        let behind = |at: usize| at + between.len();
        [
            &whole[..first],
            &whole[behind(first)..second],
            &whole[behind(second)..],
        ]
        .map(str::to_owned)
    };
    apart.map(read).collect()
}

proptest! {
    #[test]
    fn two_callers_share_no_name(
        claims in (chosen(), chosen(), chosen()),
        between in prop::sample::select(vec![":", "::", ":u:", "-"]),
    ) {
        let pattern = format!("a:{{a}}{between}{{b}}{between}{{c}}:z");
        let (identity, _) = identity(&format!(
            "auth.wrong_tries = 1000\n[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\nclient = \"{pattern}\"\naudiences = [\"{pattern}\"]"
        ));
        let who = |[a, b, c]: &[String; 3]| {
            let said = json!({"a": a, "b": b, "c": c, "exp": super::NOW_S + 60});
            told(&now(bearer(&Signer::secret(SECRET).sign(&said)).of(&identity)))
        };
        let (a, b, c) = claims;
        let whole = format!("{a}{between}{b}{between}{c}");
        let all = readings(&whole, between);
        let known: Vec<_> = all.iter().filter(|claims| who(claims).starts_with("jwt:")).collect();
        prop_assert!(known.len() <= 1, "{whole}: {known:?}");
        // What holds nothing of what stands between is never refused.
        if !format!("{a}{b}").contains([':', '-']) {
            prop_assert!(known.contains(&&[a, b, c]), "{whole}");
        }
    }
}

/// Every bit of every byte, where that is another token at all.
#[test]
fn every_other_bit_is_another_token() {
    for signer in [
        Signer::secret(SECRET),
        Signer::ec(),
        Signer::ed(),
        Signer::rsa(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, &signer.public).unwrap();
        let key = if signer.public.is_empty() {
            format!("secret = \"{SECRET}\"")
        } else {
            format!("public_key_file = \"{}\"", file.display())
        };
        let algorithm = format!("{:?}", signer.algorithm);
        let (identity, _) = identity(&format!(
            "auth.wrong_tries = 1000\n[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"{algorithm}\"\n{key}"
        ));
        let token = signer.token("u1").into_bytes();
        assert_eq!(
            told(&now(
                bearer(std::str::from_utf8(&token).unwrap()).of(&identity)
            )),
            "jwt:u1 []"
        );
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut other = token.clone();
                other[at] ^= 1 << bit;
                if !(0x21..0x7f).contains(&other[at]) {
                    continue;
                }
                let who = now(bearer(std::str::from_utf8(&other).unwrap()).of(&identity));
                assert!(who.is_err(), "{algorithm}: byte {at}, bit {bit}");
            }
        }
    }
}
