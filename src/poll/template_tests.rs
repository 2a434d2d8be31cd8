use proptest::prelude::*;
use serde_json::{Map, Value, value::RawValue};

use super::*;
use crate::poll::json;

/// Two names are enough to fill any template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Text,
    Raw,
}

impl Slot for Name {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("raw", Self::Raw)];
}

fn render(template: &str, text: &str, raw: &str) -> String {
    let mut out = Vec::new();
    let template = Template::<Name>::compile(template).unwrap();
    template.render(&mut out, |out, slot| match slot {
        Name::Text => json::push_string(out, text),
        Name::Raw => out.extend_from_slice(raw.as_bytes()),
    });
    String::from_utf8(out).unwrap()
}

fn error(template: &str) -> String {
    let error = Template::<Name>::compile(template).unwrap_err();
    error.to_string()
}

#[test]
fn only_whole_strings_in_the_place_of_values_are_names() {
    let template = r#" {"$text" : "$text","a":["$raw" , "$text "," $raw","$","$5","\u0024raw","\"$raw\""],
	"b":{"$raw":-1.50e3}} "#;
    let expected = r#" {"$text" : "x","a":[[1] , "$text "," $raw","$","$5","\u0024raw","\"$raw\""],
	"b":{"$raw":-1.50e3}} "#;
    assert_eq!(render(template, "x", "[1]"), expected);
}

#[test]
fn a_template_may_be_one_name_or_none() {
    assert_eq!(render(r#" "$raw""#, "x", "1.10"), " 1.10");
    assert_eq!(render("[1.10, 1e3]", "x", "y"), "[1.10, 1e3]");
}

#[test]
fn an_unknown_name_is_an_error_that_says_where_and_what_is_known() {
    assert_eq!(
        error("{\"a\":1,\n  \"b\": \"$txt\"}"),
        "`$txt` (line 2, column 8) is not known here; known are $text $raw. To write it as text, begin it with \\u0024"
    );
}

#[test]
fn broken_json_is_an_error_with_its_place() {
    let said = error("{\"a\":1,\n\"b\" 2}");
    assert!(said.starts_with("is not valid JSON: "), "{said}");
    assert!(said.ends_with("at line 2 column 5"), "{said}");
    for broken in [
        "",
        " ",
        "{",
        "$text",
        "{\"a\":$text}",
        "1 2",
        "[1,]",
        "\"\u{1}\"",
        "\"\\x\"",
        "01",
    ] {
        assert!(Template::<Name>::compile(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn spreading_is_not_available_yet() {
    assert_eq!(
        error(r#"{"...": "$raw"}"#),
        "\"...\" (line 1, column 2) is not available yet: name each member"
    );
    assert_eq!(render(r#"["..."]"#, "", ""), r#"["..."]"#);
}

/// JSON values whose strings are often names, or nearly.
fn templates() -> impl Strategy<Value = Value> {
    let string = prop_oneof![
        Just("$text".to_owned()),
        Just("$raw".to_owned()),
        Just("$ raw".to_owned()),
        "[\"\\\\$:{}\\[\\], a-z]{0,6}",
        any::<String>(),
    ]
    .prop_filter("a name that is not known", |text| {
        !text.starts_with('$') || ["$text", "$raw"].contains(&&**text) || !is_word(&text[1..])
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        string.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(string.clone(), inner, 0..6)
                .prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

fn filled(template: &Value, text: &str, raw: &Value) -> Value {
    match template {
        Value::String(name) if name == "$text" => text.into(),
        Value::String(name) if name == "$raw" => raw.clone(),
        Value::Array(items) => items.iter().map(|item| filled(item, text, raw)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), filled(value, text, raw)))
            .collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn any_template_with_any_values_is_json_with_these_values(
        template in templates(),
        text in any::<String>(),
        raw in templates(),
        pretty in any::<bool>(),
    ) {
        let source = if pretty { format!("{template:#}") } else { template.to_string() };
        let rendered = render(&source, &text, &raw.to_string());
        let parsed: Value = serde_json::from_str(&rendered).unwrap();
        prop_assert_eq!(parsed, filled(&template, &text, &raw));
    }

    #[test]
    fn what_is_no_name_stays_as_it_is(template in templates()) {
        let source = template.to_string().replace("\"$text\"", "0").replace("\"$raw\"", "1.10");
        prop_assume!(serde_json::from_str::<&RawValue>(&source).is_ok());
        prop_assert_eq!(render(&source, "x", "y"), source);
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in ".{0,40}") {
        let _either = Template::<Name>::compile(&text);
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them(text in any::<String>()) {
        let mut out = Vec::new();
        json::push_string(&mut out, &text);
        prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
    }
}
