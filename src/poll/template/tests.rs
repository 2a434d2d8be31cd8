use proptest::prelude::*;
use serde_json::{Map, Value, value::RawValue};

use super::{compile::is_word, *};
use crate::poll::json;

/// Three names are enough to fill any template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Text,
    Raw,
    Number,
}

impl Slot for Name {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("text", Self::Text),
        ("raw", Self::Raw),
        ("number", Self::Number),
    ];

    fn is_number(self) -> bool {
        self == Self::Number
    }

    fn has_members(self) -> bool {
        self == Self::Raw
    }
}

fn render(template: &str, text: &str, raw: &str) -> String {
    let mut out = Vec::new();
    let template = Template::<Name>::compile(template).unwrap();
    template.render(&mut out, |out, slot| match slot {
        Name::Text => json::push_string(out, text),
        Name::Raw | Name::Number => out.extend_from_slice(raw.as_bytes()),
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
        "`$txt` (line 2, column 8) is not known here; known are $text $raw $number. To write it as text, begin it with \\u0024"
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
fn members_are_merged_with_the_right_commas() {
    let two = r#"{ "x":1.0, "y":[1, 2] }"#;
    for (template, value, expected) in [
        (r#"{"...":"$raw"}"#, two, r#"{"x":1.0, "y":[1, 2]}"#),
        (r#"{"...":"$raw"}"#, "{ }", "{}"),
        (r#"{ "..." : "$raw" }"#, "{}", "{  }"),
        (
            r#"{"a":1,"...":"$raw"}"#,
            two,
            r#"{"a":1,"x":1.0, "y":[1, 2]}"#,
        ),
        (r#"{"a":1 , "...":"$raw"}"#, "{}", r#"{"a":1 }"#),
        (
            r#"{"...":"$raw","a":1}"#,
            two,
            r#"{"x":1.0, "y":[1, 2],"a":1}"#,
        ),
        (r#"{"...":"$raw" , "a":1}"#, "{}", r#"{ "a":1}"#),
        (
            r#"{"a":1,"...":"$raw","b":2}"#,
            two,
            r#"{"a":1,"x":1.0, "y":[1, 2],"b":2}"#,
        ),
        (r#"{"a":1,"...":"$raw","b":2}"#, "{}", r#"{"a":1,"b":2}"#),
        (
            r#"[{"b":{"...":"$raw"},"...":"$raw"},0]"#,
            "{\"b\":3,\"c\":4}",
            r#"[{"b":{"b":3,"c":4},"c":4},0]"#,
        ),
        (r#"["..."]"#, two, r#"["..."]"#),
    ] {
        assert_eq!(render(template, "", value), expected, "{template}");
    }
}

#[test]
fn what_is_no_object_adds_no_members() {
    for value in ["null", "[1,2]", "\"{}\"", "1", "true", "[{\"a\":1}]"] {
        assert_eq!(
            render(r#"{"a":1,"...":"$raw"}"#, "", value),
            r#"{"a":1}"#,
            "{value}"
        );
    }
}

#[test]
fn a_member_of_the_template_wins() {
    let value = r#"{"id":"theirs","x":{"id":1},"\u0069d":[2,"},"],"i":3}"#;
    assert_eq!(
        render(r#"{"id":"$text","...":"$raw"}"#, "ours", value),
        r#"{"id":"ours","x":{"id":1},"i":3}"#
    );
    assert_eq!(
        render(r#"{"...":"$raw","\u0069d":"$text"}"#, "ours", r#"{"id":1}"#),
        r#"{"\u0069d":"ours"}"#
    );
}

#[test]
fn only_values_with_members_are_spread_and_only_once() {
    let known = "\"...\" (line 1, column 2) spreads $raw here, written \"...\": \"$name\"";
    for template in [
        r#"{"...":"$text"}"#,
        r#"{"...":1}"#,
        r#"{"...":{}}"#,
        r#"{"...":"raw"}"#,
    ] {
        assert_eq!(error(template), known);
    }
    assert_eq!(
        error(r#"{"...":"$raw","...":"$raw"}"#),
        "\"...\" (line 1, column 15) stands twice in one object"
    );
}

#[test]
fn numbers_may_be_put_in_quotes() {
    let template = r#"["$number:string","$number"]"#;
    assert_eq!(render(template, "", "17"), r#"["17",17]"#);
    assert_eq!(render(template, "", "-17"), r#"["-17",-17]"#);
    assert_eq!(render(template, "", "null"), "[null,null]");
    assert_eq!(render(template, "", "\"17\""), r#"["17","17"]"#);
    assert_eq!(
        render(r#"["$number:", "$5:string"]"#, "", "1"),
        r#"["$number:", "$5:string"]"#
    );
    assert_eq!(
        error(r#""$number:hex""#),
        "`$number:hex` (line 1, column 1) is not known here; `:string` may follow $number. To write it as text, begin it with \\u0024"
    );
    assert!(error(r#""$text:string""#).contains("may follow $number"));
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
        let is_name = |name: &str| name.split(':').all(is_word);
        let is_known = ["$text", "$raw"].contains(&&**text);
        (!text.starts_with('$') || is_known || !is_name(&text[1..])) && text != "..."
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

/// An object with `...` among its members, as text, and what it becomes without it.
fn spreads() -> impl Strategy<Value = (String, Vec<(String, Value)>)> {
    let space = prop::sample::select(vec!["", " ", "\n\t"]);
    let members = prop::collection::btree_map("[a-c\"é]{0,2}", any::<i32>(), 0..4);
    (members, any::<prop::sample::Index>(), space).prop_map(|(members, place, space)| {
        let members: Vec<(String, Value)> = members
            .into_iter()
            .map(|(key, n)| (key, n.into()))
            .collect();
        let mut texts: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{}{space}:{value}", Value::from(key.clone())))
            .collect();
        let place = place.index(texts.len() + 1);
        texts.insert(place, format!("\"...\"{space}:{space}\"$raw\""));
        let text = texts.join(&format!("{space},{space}"));
        (format!("{{{space}{text}{space}}}"), members)
    })
}

/// The names of an object's members, in order, repeats included.
fn names(object: &str) -> Vec<String> {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(object), Names)
        .unwrap()
}

proptest! {
    #[test]
    fn any_value_spread_into_any_object_is_an_object_with_the_members_of_both(
        (template, own) in spreads(),
        value in templates(),
        pretty in any::<bool>(),
    ) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let rendered = render(&template, "", &text);
        let parsed: Value = serde_json::from_str(&rendered).unwrap();
        let mut expected = value.as_object().cloned().unwrap_or_default();
        expected.extend(own);
        prop_assert_eq!(names(&rendered).len(), expected.len(), "no name twice: {}", rendered);
        prop_assert_eq!(parsed, Value::from(expected));
    }

    #[test]
    fn numbers_in_quotes_are_the_same_numbers(number in any::<i64>()) {
        let rendered = render(r#"["$number:string"]"#, "", &number.to_string());
        prop_assert_eq!(rendered, serde_json::to_string(&[number.to_string()]).unwrap());
    }

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
