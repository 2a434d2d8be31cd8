//! The commands that are clients of the private listener: what they ask, what they print, how
//! they fail. The other side is a listener that answers from a script and keeps what it was sent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::{Value, json};

use crate::support::token;

/// One request as it came.
struct Asked {
    line: String,
    headers: String,
    body: String,
}

/// Runs `changeover` against answers given in this order; returns its output and the requests.
fn against(answers: Vec<String>, arguments: &[&str], input: &str) -> (Output, Vec<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script = thread::spawn(move || answers.into_iter().map(|a| serve(&listener, &a)).collect());
    let output = changeover(&[arguments, &["--url", &url]].concat(), input);
    // A client that asked less than the script has answers leaves the thread waiting: the test's
    // assertions say so first.
    assert!(
        script.is_finished() || output.status.success(),
        "{output:?}"
    );
    (output, script.join().unwrap())
}

fn serve(listener: &TcpListener, answer: &str) -> Asked {
    let (mut stream, _) = listener.accept().unwrap();
    let asked = read(&stream);
    stream.write_all(answer.as_bytes()).unwrap();
    asked
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        reader.read_line(&mut headers).unwrap();
    }
    let headers = headers.to_lowercase();
    let length = headers
        .lines()
        .find_map(|h| h.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    Asked {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}

fn answer(status: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn changeover(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(arguments)
        .env("USER", "ada")
        .env(token::VARIABLE, token::admin())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails before it reads closes the pipe.
    let _closed = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn commission(stage: &str, percent: f64) -> Value {
    json!({"module": "commission", "stage_requested": stage, "stage_effective": stage,
        "reason": "edge first", "percent": percent,
        "routes": [{"target": "local", "percent": 95}, {"target": "new", "percent": 5}], "paused": false, "version": 3,
        "changed_by": "ada", "changed_at": "2030-01-01T00:00:00Z", "head": 42, "epoch": 1,
        "retained_from": 1, "lease_holder": "gw-1",
        "targets": [{"target": "local", "position": 40, "lag_ms": 2, "connected": true}]})
}

#[test]
fn a_ramp_says_who_why_and_how_far() {
    let body = json!({"dry_run": false, "before": commission("mirror", 0.0), "after": commission("ramp", 33.33)});
    let (output, asked) = against(
        vec![answer("200 OK", "", &body)],
        &[
            "module",
            "ramp",
            "commission",
            "--percent",
            "33.33",
            "--reason",
            "edge first",
            "--if-version",
            "2",
            "--output",
            "table",
        ],
        "",
    );
    assert!(output.status.success(), "{output:?}");
    insta::assert_snapshot!(stdout(&output), @r#"
    commission: ramp
              BEFORE  AFTER
    stage     mirror  ramp
    in force  mirror  ramp
    share     0 %     33.33 %
    "#);
    assert_eq!(
        asked[0].line,
        "POST /admin/v1/modules/commission/ramp HTTP/1.1"
    );
    assert!(
        asked[0].headers.contains("changeover-actor: ada\r\n"),
        "{}",
        asked[0].headers
    );
    assert!(
        asked[0].headers.contains("if-match: \"2\"\r\n"),
        "{}",
        asked[0].headers
    );
    let sent: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(sent, json!({"reason": "edge first", "percent": 33.33}));
}

#[test]
fn a_dry_run_is_asked_for_and_said() {
    let body = json!({"dry_run": true, "before": commission("ramp", 1.0), "after": commission("mirror", 1.0)});
    let (output, asked) = against(
        vec![answer("200 OK", "", &body)],
        &[
            "module",
            "rollback",
            "commission",
            "--to",
            "mirror",
            "--reason",
            "x",
            "--dry-run",
            "--output",
            "table",
            "--actor",
            "bob",
        ],
        "",
    );
    insta::assert_snapshot!(stdout(&output), @r#"
    commission: rollback (dry run, nothing was changed)
              BEFORE  AFTER
    stage     ramp    mirror
    in force  ramp    mirror
    "#);
    assert_eq!(
        asked[0].line,
        "POST /admin/v1/modules/commission/rollback?dry_run=true HTTP/1.1"
    );
    assert!(asked[0].headers.contains("changeover-actor: bob\r\n"));
    assert!(
        asked[0].body.contains("\"to\":\"mirror\""),
        "{}",
        asked[0].body
    );
}

#[test]
fn without_a_terminal_the_answer_is_json_as_it_came() {
    let body = json!({"modules": [commission("ramp", 10.0)]});
    let (output, asked) = against(vec![answer("200 OK", "", &body)], &["module", "list"], "");
    assert_eq!(stdout(&output).trim_end(), body.to_string());
    assert_eq!(asked[0].line, "GET /admin/v1/modules HTTP/1.1");
}

#[test]
fn tables_are_for_people() {
    let list = json!({"modules": [commission("ramp", 10.0)]});
    let (output, _) = against(
        vec![answer("200 OK", "", &list)],
        &["module", "list", "--output", "table"],
        "",
    );
    insta::assert_snapshot!(stdout(&output), @r#"
    MODULE      STAGE      EFFECTIVE  ON PUSH  LAG   GUARD  HEAD  HOLDER  VERSION  CHANGED               BY   REASON
    commission  ramp 10 %  ramp       -        2 ms  -      42    gw-1    3        2030-01-01 00:00:00Z  ada  edge first
    "#);
    let (output, _) = against(
        vec![
            answer("200 OK", "", &commission("sunset", 10.0)),
            answer("200 OK", "", &json!({"entries": []})),
        ],
        &["module", "get", "commission", "--output", "table"],
        "",
    );
    insta::assert_snapshot!(stdout(&output), @r#"
    commission  version 3, epoch 1, log 1 to 42, numbered by gw-1

    proxy > shadow > mirror > ramp > [sunset] > retired
    asked for  sunset by ada at 2030-01-01 00:00:00Z: edge first
    in force   sunset, as asked for

    cohort     10 % (at ramp)
    target     95 % local, 5 % new

    TARGET  CONNECTED  LAG   GUARD  PUSHED  POSITION  BEHIND
    local   yes        2 ms  -      -       40        0
    "#);
    let record = |stage, points| json!({"stage": stage, "cohort": {"basis_points": points}, "paused": false});
    let history = json!({"entries": [{"id": 1, "module": "commission", "actor": "ada", "action": "ramp",
        "before": record("mirror", 0), "after": record("ramp", 1050), "reason": "edge\u{1b}[31m first",
        "at": "2030-01-01T00:00:00Z"}]});
    let (output, asked) = against(
        vec![answer("200 OK", "", &history)],
        &[
            "module",
            "history",
            "commission",
            "--limit",
            "7",
            "--output",
            "table",
        ],
        "",
    );
    assert_eq!(
        asked[0].line,
        "GET /admin/v1/modules/commission/history?limit=7 HTTP/1.1"
    );
    insta::assert_snapshot!(stdout(&output), @r#"
    AT                    ACTOR  ACTION  CHANGE                           REASON
    2030-01-01 00:00:00Z  ada    ramp    mirror at 0 % -> ramp at 10.5 %  edge [31m first
    "#);
}

#[test]
fn instances_are_listed() {
    let instance = |name, alive, modules| {
        json!({"instance": name, "answering": false, "alive": alive, "since": "2030-01-01T00:00:00Z",
            "heard_at": "2030-01-01T00:00:09Z", "modules": modules, "asks_for": [], "embedded_target": null})
    };
    let list = json!({"instances": [instance("gw-1", true, 12), instance("gw-2", false, 0)]});
    let (output, asked) = against(
        vec![answer("200 OK", "", &list)],
        &["instance", "list", "--output", "table"],
        "",
    );
    assert_eq!(asked[0].line, "GET /admin/v1/instances HTTP/1.1");
    insta::assert_snapshot!(stdout(&output), @r#"
    INSTANCE  ALIVE  MODULES  SINCE                 HEARD                 EMBEDDED
    gw-1      true   12       2030-01-01 00:00:00Z  2030-01-01 00:00:09Z  -
    gw-2      false  0        2030-01-01 00:00:00Z  2030-01-01 00:00:09Z  -
    "#);
}

#[test]
fn a_problem_is_told_in_its_own_words() {
    let problem = json!({"title": "Conflict", "status": 409, "detail": "the next step is ramp"});
    let (output, _) = against(
        vec![answer("409 Conflict", "", &problem)],
        &["module", "promote", "commission", "--reason", "x"],
        "",
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "error: Conflict: the next step is ramp (409)\n"
    );
}

#[test]
fn a_refused_connection_says_where_it_looked_and_what_to_change() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let setting = format!("server.private={gone}");
    let output = changeover(&["module", "list", "--set", &setting], "");
    assert_eq!(output.status.code(), Some(69));
    let said = stderr(&output);
    assert!(
        said.contains(&gone.to_string()) && said.contains("server.private"),
        "{said}"
    );
    assert!(said.contains("--url"), "{said}");
}

#[test]
fn append_keeps_the_value_byte_for_byte() {
    let (output, asked) = against(
        vec![answer("202 Accepted", "", &json!({"accepted": 1}))],
        &[
            "append",
            "commission",
            "--key",
            "k",
            "--value",
            "{\"n\": 1.10}",
            "--audience",
            "u1",
            "--change-id",
            "c-1",
        ],
        "",
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        asked[0].line,
        "POST /v1/modules/commission/changes HTTP/1.1"
    );
    assert_eq!(
        asked[0].body,
        r#"{"key":"k","value":{"n": 1.10},"audience":"u1","op":"upsert","change_id":"c-1"}"#
    );
}

#[test]
fn append_sends_standard_input_in_bounded_requests_and_waits_when_told() {
    let lines = "{\"key\":\"k\",\"value\":1}\n".repeat(501);
    let busy = json!({"title": "Too Many Requests", "status": 429, "detail": "the queue is full"});
    let (output, asked) = against(
        vec![
            answer("429 Too Many Requests", "retry-after: 0\r\n", &busy),
            answer("202 Accepted", "", &json!({"accepted": 500})),
            answer("202 Accepted", "", &json!({"accepted": 1})),
        ],
        &["append", "commission", "--output", "json"],
        &lines,
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), "{\"accepted\":501}\n");
    let count = |asked: &Asked| asked.body.lines().count();
    assert_eq!(asked.iter().map(count).collect::<Vec<_>>(), [500, 500, 1]);
    assert!(
        asked[0]
            .headers
            .contains("content-type: application/x-ndjson")
    );
}

#[test]
fn a_refused_line_is_found_among_many() {
    let problem =
        json!({"title": "Bad Request", "status": 400, "detail": "item 0: key is missing"});
    let lines = "{\"key\":\"0\",\"value\":1}\n".repeat(500) + "\n{}\n";
    let (output, _) = against(
        vec![
            answer("202 Accepted", "", &json!({"accepted": 500})),
            answer("400 Bad Request", "", &problem),
        ],
        &["append", "commission"],
        &lines,
    );
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("lines 501 to 502"), "{said}");
    assert!(said.contains("500 changes before them"), "{said}");
    assert!(said.contains("key is missing"), "{said}");
}

#[test]
fn parked_rows_are_listed_retried_and_dropped() {
    let rows = json!({"rows": [{"id": 4, "module": "m", "key": "k", "reason": "value: not JSON"}]});
    let (output, asked) = against(
        vec![answer("200 OK", "", &rows)],
        &[
            "outbox", "rejected", "list", "--after", "3", "--output", "table",
        ],
        "",
    );
    assert_eq!(
        asked[0].line,
        "GET /admin/v1/outbox/rejected?after=3&limit=100 HTTP/1.1"
    );
    assert!(stdout(&output).contains("value: not JSON"), "{output:?}");
    let done = answer("200 OK", "", &json!({"rows": 2}));
    let arguments = ["outbox", "rejected", "retry", "4", "5", "--reason", "fixed"];
    let (_, asked) = against(vec![done.clone()], &arguments, "");
    assert_eq!(
        asked[0].line,
        "POST /admin/v1/outbox/rejected/retry HTTP/1.1"
    );
    assert_eq!(asked[0].body, r#"{"ids":[4,5],"reason":"fixed"}"#);
    let arguments = ["outbox", "rejected", "drop", "--all", "--reason", "old"];
    let (_, asked) = against(vec![done], &arguments, "");
    assert_eq!(asked[0].body, r#"{"all":true,"reason":"old"}"#);
}

#[test]
fn a_dry_drop_only_reads() {
    let page = |rows| answer("200 OK", "", &json!({"rows": rows}));
    let (output, asked) = against(
        vec![page(json!([{"id": 4}, {"id": 9}])), page(json!([]))],
        &[
            "outbox",
            "rejected",
            "drop",
            "9",
            "77",
            "--reason",
            "x",
            "--dry-run",
            "--output",
            "json",
        ],
        "",
    );
    assert!(asked.iter().all(|asked| asked.line.starts_with("GET ")));
    assert_eq!(stdout(&output), "{\"dry_run\":true,\"rows\":1}\n");
}

#[test]
fn exit_codes_tell_configuration_from_failure() {
    let code = |arguments: &[&str]| changeover(arguments, "").status.code();
    assert_eq!(code(&["check", "--set", "tail.page=0"]), Some(64));
    assert_eq!(code(&["check", "--config", "/nowhere.toml"]), Some(64));
    assert_eq!(
        code(&["module", "promote", "m"]),
        Some(64),
        "an act needs a reason"
    );
    assert_eq!(code(&["module", "list", "--set", "tail.page=0"]), Some(64));
    assert_eq!(code(&["--help"]), Some(0));
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart.toml");
    assert_eq!(code(&["check", "--config", quickstart]), Some(0));
    assert_eq!(code(&["config", "--config", quickstart]), Some(0));
}
