//! The quirks of old clients, which rewrite requests and answers.

use bytes::Bytes;
use http::{Request, Response, Uri};

use super::is_json;
use crate::{
    config::modules::Quirk,
    domain::strangers::Pieces,
    poll::{compat::Compat, source::find_in_pairs},
};

/// Rewrites a request and an answer by all quirks at once.
pub fn quirks(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let [query, answer] = [pieces.text(), pieces.text()];
    let Ok(uri) = Uri::try_from(format!("/list/?{query}")) else {
        return;
    };
    let names: [Box<str>; 3] = ["since".into(), "uid".into(), "Ünü".into()];
    let compat = Compat::with(&Quirk::ALL, &names);
    let mut request = Request::new(());
    *request.uri_mut() = uri.clone();
    let noted = compat.ask(&mut request);
    assert_eq!(request.uri().path(), uri.path());
    others_stay(&uri, request.uri(), &names);

    let body = if is_json(answer.as_bytes()) {
        answer
    } else {
        "{}"
    };
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    compat.tell(noted, &mut response);
    is_a_safe_script(response.body(), body);
}

/// What the contract does not read stays byte for byte, in its order.
fn others_stay(before: &Uri, after: &Uri, names: &[Box<str>]) {
    let others = |uri: &Uri| {
        let pairs = uri.query().unwrap_or_default().split('&');
        let is_other = |pair: &&str| {
            let is = |name: &str| !matches!(find_in_pairs(pair.as_bytes(), name), Ok(None));
            let lower = pair.to_lowercase();
            let is_any_case = |name: &str| {
                !matches!(
                    find_in_pairs(lower.as_bytes(), &name.to_lowercase()),
                    Ok(None)
                )
            };
            !names.iter().any(|name| is(name) || is_any_case(name)) && !pair.contains('%')
        };
        let others = pairs.filter(is_other);
        others.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(before), others(after));
}

/// A script calls one plain name with the body, which ends no line and holds ASCII only.
fn is_a_safe_script(told: &[u8], body: &str) {
    let told = std::str::from_utf8(told).expect("answers are UTF-8");
    let told = told.strip_prefix('\u{feff}').unwrap_or(told);
    let json = match told.strip_prefix("/**/") {
        None => told,
        Some(script) => {
            let (name, rest) = script.split_once('(').expect("a script is a call");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_$.".contains(&b);
            assert!(!name.is_empty() && name.len() <= 64 && name.bytes().all(plain));
            rest.strip_suffix(");").expect("a script is a call")
        }
    };
    assert!(json.is_ascii(), "{json:?}");
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    assert_eq!(read(json), read(body), "it means the same");
}
