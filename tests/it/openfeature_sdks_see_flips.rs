//! OpenFeature's SDKs with their OFREP providers: in a page (all flags kept, told of changes by an event stream or by polling), and
//! in back ends, in JavaScript and in Python (a request per evaluation). Each evaluates, sees a flip, and sees the next one after a
//! restart of the gateway.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    callers::{self, Credential},
    clients::{self, Script},
    database::{DatabaseUnderTest, Kind},
    gateway::{MODULE, Program, Setup, changeover},
    lasting_port, servers_are_skipped,
};

const PATIENCE: Duration = Duration::from_mins(1);
const FLAG: &str = "module.commission";
const CLIENT: &str = "terminal ½";

/// A gateway whose public listener is at the same address after a restart. Its broker is away, and no guard minds that.
async fn gateway() -> (Program, String) {
    gateway_for("").await
}

async fn gateway_for(callers: &str) -> (Program, String) {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let at = format!("127.0.0.1:{}", lasting_port());
    let setup = Setup::new(&database, "a")
        .target("mqtt://127.0.0.1:1")
        .set("guard.enabled", false)
        .set("server.public", &at)
        .add(callers);
    (Program::start(&setup).await, format!("http://{at}"))
}

async fn act(gateway: &Program, arguments: &[&str]) {
    let arguments = [&["module"], arguments, &["--reason", "test"]].concat();
    let output = changeover(&gateway.client, &arguments).await;
    assert!(output.status.success(), "{output:?}");
}

/// What a flag is expected to be.
fn flag(value: &str, reason: &str, stage: &str, why: &str) -> Value {
    json!({
        "value": value, "variant": value, "reason": reason,
        "metadata": {"stage": stage, "stage_requested": stage, "reason": why, "target": "local"},
    })
}

/// The same without what is null or absent.
fn plain(flag: &Value) -> Value {
    let members = flag.as_object().unwrap().iter();
    let told = members.filter(|(_, value)| !value.is_null());
    Value::Object(told.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// The script tells flips and survives a restart. `told` finds the flag in a line.
async fn flips(gateway: &mut Program, script: &Script, told: impl Fn(&Value) -> Option<Value>) {
    let is = async |what: &str, wanted: Value, count: usize| {
        let as_wanted = |line: &Value| told(line).is_some_and(|flag| plain(&flag) == wanted);
        script
            .until(what, PATIENCE, |lines| {
                lines.iter().filter(|line| as_wanted(line)).count() >= count
            })
            .await;
    };
    let polls = flag("poll", "STATIC", "mirror", "stage");
    let pushed = flag("push", "SPLIT", "ramp", "cohort");
    is("it is told to poll", polls.clone(), 1).await;
    act(gateway, &["ramp", MODULE, "--percent", "100"]).await;
    is("it is told to take the push", pushed.clone(), 1).await;
    assert_eq!(gateway.terminate().await.0, 0);
    gateway.restart().await;
    // At once, so that a stream may not be back yet.
    act(gateway, &["rollback", MODULE]).await;
    is("it is told to poll again", polls, 2).await;
    act(gateway, &["ramp", MODULE, "--percent", "100"]).await;
    is("it is told to take the push again", pushed, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_an_event_stream() {
    in_a_page("sse").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_polls() {
    in_a_page("polling").await;
}

/// Its evaluations show a token. Its stream cannot: it has the ticket of its address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_known_caller_with_an_event_stream() {
    if servers_are_skipped() {
        return;
    }
    let (mut gateway, url) = gateway_for(&callers::auth()).await;
    let Credential::Token(token) = Credential::until("u1", 3_600) else {
        unreachable!("it is a token");
    };
    let how = format!("sse+{token}");
    let script = clients::node("flags-web.mjs", &[&url, "u1", &how, FLAG]).await;
    let told = |line: &Value| line.get("flags").map(|flags| flags[FLAG].clone());
    flips(&mut gateway, &script, told).await;
    let lines = script.lines();
    let by_event = lines.iter().filter(|line| line["told"].is_string());
    assert!(by_event.count() > 0, "{lines:?}");
    assert!(lines.len() < 100, "{lines:?}");
    assert!(
        lines.iter().all(|line| line["answered"] != 401),
        "{lines:?}"
    );
}

async fn in_a_page(how: &str) {
    if servers_are_skipped() {
        return;
    }
    let (mut gateway, url) = gateway().await;
    let arguments = [&url, CLIENT, how, FLAG, "module.notices"];
    let script = clients::node("flags-web.mjs", &arguments).await;
    let told = |line: &Value| line.get("flags").map(|flags| flags[FLAG].clone());
    flips(&mut gateway, &script, told).await;
    if how == "polling" {
        // Each poll so far may have come just after a flip.
        script
            .until("a poll finds nothing new", PATIENCE, |lines| {
                lines.iter().any(|line| line["answered"] == 304)
            })
            .await;
    }
    let lines = script.lines();
    let ready = lines.iter().find(|line| line["because"] == "ready");
    let other = &ready.unwrap()["flags"]["module.notices"];
    assert_eq!(plain(other), flag("poll", "STATIC", "mirror", "stage"));
    let because: Vec<_> = lines.iter().map(|line| &line["because"]).collect();
    assert!(because.contains(&&json!([FLAG])), "only one: {because:?}");
    let answered = |status: u16| lines.iter().filter(move |line| line["answered"] == status);
    assert!(answered(200).count() >= 4, "{lines:?}");
    let by_event = lines.iter().filter(|line| line["told"].is_string());
    assert_eq!(by_event.count() > 0, how == "sse", "{lines:?}");
    if how == "sse" {
        // The first evaluation, and one for each event and each attempt to reach a gateway that is away.
        assert!(lines.len() < 100, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_end_in_javascript() {
    if servers_are_skipped() {
        return;
    }
    let (mut gateway, url) = gateway().await;
    let script = clients::node("flags.mjs", &[&url, CLIENT, FLAG]).await;
    flips(&mut gateway, &script, |line| Some(line.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_end_in_python() {
    if servers_are_skipped() {
        return;
    }
    let (mut gateway, url) = gateway().await;
    let script = clients::python("flags.py", &[&url, CLIENT, FLAG]).await;
    flips(&mut gateway, &script, |line| Some(line.clone())).await;
}
