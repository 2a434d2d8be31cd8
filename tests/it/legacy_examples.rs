//! The examples of `docs/LEGACY.md`: each option and each quirk, the answer without it and with it.
//!
//! The document's tables are written from what the router really answers, so they cannot rot:
//! `CHANGEOVER_BLESS=1 cargo test --test it legacy_examples` writes them again.

use std::{fmt::Write, fs};

use axum::body::Body;
use changeover::config::modules::Quirk;
use changeover::domain::Op;
use http::Request;
use toml::{Table, Value};

use crate::{
    legacy_gateway::{Answer, Gateway},
    legacy_pace,
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/LEGACY.md");

/// The endpoint of every example.
const ENDPOINT: &str = r#"
name = "prices"
[poll]
path = "/prices"
cursor = { in = "query", name = "since" }
limit = { in = "query", name = "size", default = 100, max = 1000 }
[poll.response]
body = '{"list":"$changes","since":"$cursor"}'
item = '{"id":"$key","op":"$op","body":"$value"}'
"#;

struct Example {
    /// Keys below `modules.poll`.
    option: &'static str,
    /// Path, and perhaps one header line behind a blank.
    ask: &'static str,
    /// Headers that are shown.
    headers: &'static [&'static str],
}

const fn example(option: &'static str, ask: &'static str) -> Example {
    Example {
        option,
        ask,
        headers: &[],
    }
}

const fn with_headers(
    option: &'static str,
    ask: &'static str,
    headers: &'static [&'static str],
) -> Example {
    Example {
        option,
        ask,
        headers,
    }
}

const ANSWERS: [Example; 22] = [
    example(
        r#"response.item = '{"id":"$key","...":"$value"}'"#,
        "/prices",
    ),
    example(
        r#"response.item = '{"...":"$value","v":2,"kind":"price"}'"#,
        "/prices",
    ),
    example(
        r#"response.body = '{"code":0,"msg":"ok","data":{"list":"$changes","since":"$cursor"}}'"#,
        "/prices?since=2",
    ),
    example(
        r#"response.item = '{"seq":"$position:string","prev":"$previous:string"}'"#,
        "/prices",
    ),
    example(
        r#"response.body = '{"since":"$cursor:string","n":"$count:string"}'"#,
        "/prices?since=1",
    ),
    example(r#"ops = { upsert = "U", delete = "D" }"#, "/prices"),
    example("ops = { upsert = 1, delete = -1 }", "/prices"),
    example("ops = { upsert = true, delete = false }", "/prices"),
    example(
        r#"response.empty = '{"since":"$cursor"}'"#,
        "/prices?since=2",
    ),
    with_headers(
        r#"response.empty = """#,
        "/prices?since=2",
        &["content-type"],
    ),
    with_headers(
        "response.empty_status = 204",
        "/prices?since=2",
        &["content-type"],
    ),
    with_headers(
        r#"response.content_type = "text/html; charset=utf-8""#,
        "/prices?since=2",
        &["content-type"],
    ),
    with_headers(
        r#"response.headers = { X-Api = "1", Cache-Control = "no-store" }"#,
        "/prices?since=2",
        &["cache-control", "x-api"],
    ),
    example("response.error_status = 200", "/prices?since=x"),
    example(
        r#"response.error = '{"ok":false,"code":"$status:string","why":"$message"}'"#,
        "/prices?since=x",
    ),
    example("response.errors.malformed = 422", "/prices?since=x"),
    with_headers(
        r#"response.error_headers = { X-Error = "1" }"#,
        "/prices?since=x",
        &["x-error"],
    ),
    with_headers("response.etag = true", "/prices?since=2", &["etag"]),
    with_headers(
        "response.etag = true",
        "/prices?since=2 If-None-Match: \"449feb0524ef37baea2c93e9fbb3eec7e72940dac39a91c99fa1f1d393110696\"",
        &["etag"],
    ),
    with_headers(
        r#"cursor = { kind = "etag" }"#,
        "/prices",
        &["cache-control", "etag"],
    ),
    with_headers(
        r#"cursor = { kind = "etag" }"#,
        "/prices If-None-Match: \"00000001_0000000000000001\"",
        &["etag"],
    ),
    with_headers(
        r#"cursor = { kind = "etag" }"#,
        "/prices If-None-Match: \"00000001_0000000000000002\"",
        &["etag"],
    ),
];

/// One per quirk, at least.
const QUIRKS: [(Quirk, Example); 10] = [
    (
        Quirk::TrailingSlash,
        example("quirks = [\"trailing-slash\"]", "/prices/?since=2"),
    ),
    (
        Quirk::AnyCaseParameters,
        example("quirks = [\"any-case-parameters\"]", "/prices?SINCE=2"),
    ),
    (
        Quirk::LastParameterCounts,
        example(
            "quirks = [\"last-parameter-counts\"]",
            "/prices?since=0&since=2",
        ),
    ),
    (
        Quirk::NullCursorIsAbsent,
        example("quirks = [\"null-cursor-is-absent\"]", "/prices?since=null"),
    ),
    (
        Quirk::NullCursorIsAbsent,
        example("quirks = [\"null-cursor-is-absent\"]", "/prices?since=x"),
    ),
    (
        Quirk::ZeroLimitIsMost,
        example(
            "quirks = [\"zero-limit-is-most\"]",
            "/prices?since=1&size=0",
        ),
    ),
    (
        Quirk::AsciiJson,
        example("quirks = [\"ascii-json\"]", "/prices"),
    ),
    (
        Quirk::JsonpCallback,
        with_headers(
            "quirks = [\"jsonp-callback\"]",
            "/prices?since=2&callback=jQuery1.done",
            &["content-type", "x-content-type-options"],
        ),
    ),
    (
        Quirk::Utf8Bom,
        example("quirks = [\"utf8-bom\"]", "/prices?since=2"),
    ),
    (
        Quirk::CloseConnection,
        with_headers(
            "quirks = [\"close-connection\"]",
            "/prices?since=2",
            &["connection"],
        ),
    ),
];

#[tokio::test]
async fn the_document_shows_what_the_gateway_answers() {
    let written = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let page = put(&written, "answers", &table(ANSWERS.iter()).await);
    let quirks = format!(
        "{}\n{}",
        about_quirks(),
        table(QUIRKS.iter().map(|(_, example)| example)).await
    );
    let page = put(&page, "quirks", &quirks);
    let page = put(&page, "pace", &legacy_pace::table().await);
    if std::env::var_os("CHANGEOVER_BLESS").is_some() {
        fs::write(DOCUMENT, &page).unwrap();
    }
    assert!(
        fs::read_to_string(DOCUMENT).unwrap() == page,
        "docs/LEGACY.md is stale: run with CHANGEOVER_BLESS=1"
    );
}

#[tokio::test]
async fn every_option_changes_its_answer_and_every_quirk_is_shown() {
    for example in ANSWERS.iter().chain(QUIRKS.iter().map(|(_, e)| e)) {
        let (before, after) = both(example).await;
        let refused = example.ask == "/prices?since=x" && example.option.starts_with("quirks");
        assert_eq!(before == after, refused, "{}: {before}", example.option);
    }
    for quirk in Quirk::ALL {
        let shown = QUIRKS.iter().any(|(shown, _)| *shown == quirk);
        assert!(shown, "{}", quirk.as_str());
    }
}

async fn table(examples: impl Iterator<Item = &Example>) -> String {
    let mut table = String::from("| option | request | without | with |\n|---|---|---|---|\n");
    for example in examples {
        let (before, after) = both(example).await;
        let (option, ask) = (example.option, example.ask);
        writeln!(table, "| `{option}` | `{ask}` | {before} | {after} |").unwrap();
    }
    table
}

fn about_quirks() -> String {
    let mut table = String::from(
        "| quirk | what it does | who needs it | remove it when |\n|---|---|---|---|\n",
    );
    for quirk in Quirk::ALL {
        let about = quirk.about();
        writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            quirk.as_str(),
            about.does,
            about.needed_by,
            about.removable_when
        )
        .unwrap();
    }
    table
}

/// The answers without the option and with it, as they are shown.
async fn both(example: &Example) -> (String, String) {
    let without = ENDPOINT.parse::<Table>().unwrap();
    let mut with = without.clone();
    let option = example.option.parse::<Table>().unwrap();
    merge(
        &mut with,
        Table::from_iter([("poll".to_owned(), Value::Table(option))]),
    );
    (shown(&without, example).await, shown(&with, example).await)
}

/// An option stands in place of the endpoint's own.
pub fn merge(base: &mut Table, more: Table) {
    for (key, value) in more {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) if key != "cursor" => {
                merge(inner, more);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

async fn shown(endpoint: &Table, example: &Example) -> String {
    let gateway = Gateway::new(&endpoint.to_string(), 100);
    gateway.upsert("*", "café", r#"{"v":1,"eur":1.10}"#);
    gateway.log.commit("*", "tea", Op::Delete, "null");
    gateway.catch_up();
    let (path, header) = example.ask.split_once(' ').unwrap_or((example.ask, ""));
    let mut request = Request::get(path);
    if let Some((name, value)) = header.split_once(": ") {
        request = request.header(name, value);
    }
    let answer = gateway.send(request.body(Body::empty()).unwrap()).await;
    written(&answer, example.headers)
}

pub fn written(answer: &Answer, headers: &[&str]) -> String {
    let mut lines = vec![format!("{}", answer.status.as_u16())];
    for name in headers {
        if let Some(value) = answer.header(name) {
            lines.push(format!("{name}: {value}"));
        }
    }
    if !answer.body.is_empty() {
        lines.push(answer.body.replace('\u{feff}', "⟨EF BB BF⟩"));
    }
    let code = lines.iter().map(|line| format!("`{line}`"));
    code.collect::<Vec<_>>().join("<br>")
}

/// Puts a text between its marks in the document.
fn put(page: &str, mark: &str, text: &str) -> String {
    let begin = format!("<!-- {mark}: written by tests/it/legacy_examples.rs -->\n");
    let end = format!("<!-- end of {mark} -->");
    let missing = || panic!("docs/LEGACY.md lacks the marks of {mark}");
    let (head, rest) = page.split_once(&begin).unwrap_or_else(missing);
    let (_, tail) = rest.split_once(&end).unwrap_or_else(missing);
    format!("{head}{begin}{text}{end}{tail}")
}
