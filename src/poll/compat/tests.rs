use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn names() -> Vec<Box<str>> {
    vec!["since".into(), "Uid".into(), "a b".into(), "sInCe".into()]
}

#[test]
fn names_get_the_contracts_spelling_unless_it_is_there() {
    for (query, renamed) in [
        ("SINCE=5&uid=u", Some("since=5&Uid=u")),
        ("A+B=1&x=%", Some("a%20b=1&x=%")),
        ("%53ince", Some("since")),
        ("since=5&SINCE=6", None),
        ("sInCe=6", None),
        ("other=1&&=", None),
        ("", None),
    ] {
        assert_eq!(
            parameters::rename(query, &names()).as_deref(),
            renamed,
            "{query}"
        );
    }
}

#[test]
fn the_last_of_several_is_kept() {
    for (query, kept) in [
        ("since=1&x=1&since=2&x=2", Some("x=1&since=2&x=2")),
        ("since=1&since=1", None),
        ("x=1&x=2", None),
        ("since=1&%73ince=", Some("%73ince=")),
    ] {
        assert_eq!(
            parameters::keep_last(query, &names()).as_deref(),
            kept,
            "{query}"
        );
    }
}

#[test]
fn only_names_of_functions_are_called() {
    for good in ["cb", "$", "jQuery1_2.done", "_a.b.c"] {
        assert_eq!(
            jsonp::callback(&format!("callback={good}")).as_deref(),
            Some(good)
        );
    }
    let long = "a".repeat(65);
    for bad in [
        "",
        "alert(1)",
        "a..b",
        "1a",
        "a.",
        "a%0a",
        "a;b",
        "%3Cscript%3E",
        "%ff",
        &long,
    ] {
        assert_eq!(jsonp::callback(&format!("callback={bad}")), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn ascii_json_means_the_same(text in any::<String>()) {
        let body = serde_json::to_vec(&[&text]).unwrap();
        let ascii = text::in_ascii(&body).map_or(body, |ascii| ascii.to_vec());
        prop_assert!(ascii.is_ascii());
        let read: Value = serde_json::from_slice(&ascii).unwrap();
        prop_assert_eq!(read[0].as_str(), Some(&*text));
    }

    #[test]
    fn any_query_stays_one_or_is_left_alone(query in "[ -~]{0,40}") {
        let query = query.replace(['#', ' ', '"', '<', '>'], "");
        for changed in [
            parameters::rename(&query, &names()),
            parameters::keep_last(&query, &names()),
        ].into_iter().flatten() {
            prop_assert!(PathAndQuery::try_from(format!("/p?{changed}")).is_ok(), "{}", changed);
        }
    }
}
