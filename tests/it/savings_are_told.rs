//! `changeover savings` and `GET /admin/v1/savings`: what modules cost before and now, from what was counted and a table of prices; what
//! is not known is said, and so is what is assumed.

use std::time::Duration;

use changeover::{
    domain::{Clock, Micros, Stage, SystemClock, Transport},
    store::UsageFlush,
    telemetry::usage::{Counts, NO_MODULE, UsageRow, hour_of},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, MODULE, Setup, changeover},
};

crate::on_each_database!(before_and_now_in_money);

const PRICES: &str = r#"
[modules.savings]
requests_per_s = 7.5

[[modules]]
name = "quiet"

[savings]
sql_per_poll = 3.0
head_bytes = 0
[savings.prices]
currency = "EUR"
per_million_requests = 1.0
per_million_queries = 2.0
per_gb_out = 0.0
per_million_messages = 4.0
database_sizes = [{ name = "small", queries_per_s = 10, per_month = 100 }, { name = "large", queries_per_s = 1000, per_month = 900 }]
"#;

const MONTH_S: f64 = 2_629_800.0;

fn row(
    hours_ago: i64,
    module: &str,
    transport: Transport,
    stage: Stage,
    counts: Counts,
) -> UsageRow {
    let hour = hour_of(SystemClock.now()).get() - hours_ago * 3_600_000_000;
    UsageRow {
        hour: Micros::new(hour),
        module: module.to_owned(),
        transport,
        stage,
        from: Micros::new(hour),
        to: Micros::new(hour + 3_600_000_000),
        counts,
    }
}

/// Of an hour with so many requests a second.
fn polls(per_s: u64, statements_per_s: u64) -> Counts {
    Counts {
        requests: per_s * 3_600,
        idle: per_s * 3_600,
        memory: (per_s - statements_per_s.min(per_s)) * 3_600,
        statements: statements_per_s * 3_600,
        bytes: per_s * 3_600 * 50,
        ..Counts::default()
    }
}

/// A month ago 40 polls a second for 30 hours, at `mirror`; today 2, one of them with SQL, and 5 messages.
async fn fill(database: &DatabaseUnderTest) {
    let store = database.store().await;
    let mut rows = Vec::new();
    for hour in 700..730 {
        rows.push(row(
            hour,
            MODULE,
            Transport::Poll,
            Stage::Mirror,
            polls(40, 0),
        ));
        rows.push(row(
            hour,
            NO_MODULE,
            Transport::Poll,
            Stage::Proxy,
            polls(0, 6),
        ));
    }
    let messages = Counts {
        messages: 5 * 3_600,
        payloads: 5 * 3_600 * 100,
        ..Counts::default()
    };
    for hour in 1..24 {
        rows.push(row(hour, MODULE, Transport::Poll, Stage::Ramp, polls(2, 1)));
        rows.push(row(hour, MODULE, Transport::Push, Stage::Ramp, messages));
        rows.push(row(
            hour,
            "quiet",
            Transport::Poll,
            Stage::Mirror,
            polls(0, 0),
        ));
        rows.push(row(
            hour,
            NO_MODULE,
            Transport::Poll,
            Stage::Proxy,
            polls(0, 8),
        ));
    }
    rows.sort_by_key(|row| (row.hour, row.module.clone()));
    let flush = UsageFlush {
        run: 1,
        number: 1,
        at: SystemClock.now(),
        rows,
    };
    store.add_usage(&flush).await.unwrap();
    store.close().await;
}

#[track_caller]
fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found}"));
    assert!(
        (found - expected).abs() < expected.abs() * 1e-6 + 1e-6,
        "{found} and not {expected}"
    );
}

async fn before_and_now_in_money(database: DatabaseUnderTest) {
    fill(&database).await;
    // Its own first flush is yet to come.
    let setup = Setup::new(&database, "a")
        .set("savings.flush", "1h")
        .add(PRICES);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let answer = client.get("/admin/v1/savings?days=1").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let savings = answer.json();
    let by_name = |name: &str| {
        let all = savings["modules"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["module"] == name).unwrap()
    };
    let module = by_name(MODULE);
    let (before, now) = (&module["before"], &module["now"]);
    assert_eq!(before["source"], "measured", "{module}");
    close(&before["counted_hours"], 30.0);
    close(&before["cost"]["requests_per_s"], 40.0);
    close(&before["cost"]["queries_per_s"], 120.0);
    close(&before["cost"]["per_month"], MONTH_S * (40e-6 + 240e-6));
    close(&now["cost"]["requests_per_s"], 2.0);
    close(&now["cost"]["queries_per_s"], 1.0);
    close(&now["cost"]["messages_per_s"], 5.0);
    close(&now["cost"]["per_month"], MONTH_S * (2e-6 + 2e-6 + 20e-6));
    close(&module["saved_per_month"], MONTH_S * 256e-6);
    assert_eq!(now["counted"]["polls"], 23 * 2 * 3_600);
    assert_eq!(
        now["counted"]["statements_avoided"],
        23 * 3_600 * (3 * 2 - 1)
    );

    // Configured, and never counted: what it costs now is not zero, it is not known.
    let notices = by_name("notices");
    assert_eq!(notices["before"]["source"], "configured", "{notices}");
    close(
        &notices["before"]["cost"]["per_month"],
        MONTH_S * (7.5e-6 + 45e-6),
    );
    assert_eq!(notices["now"]["cost"], Value::Null);
    assert_eq!(notices["saved_per_month"], Value::Null);
    let quiet = by_name("quiet");
    close(&quiet["before"]["cost"]["per_month"], 0.0);
    assert_eq!(savings["unused"][0]["module"], "quiet", "{savings}");
    assert_eq!(savings["unused"].as_array().unwrap().len(), 1, "{savings}");

    let overall = &savings["overall"];
    assert_eq!(overall["left_out"], json!(["notices"]));
    close(&overall["gateways"]["queries_per_s"], 7.0);
    close(&overall["now"]["queries_per_s"], 8.0);
    assert_eq!(overall["database"]["before"], "large");
    assert_eq!(overall["database"]["now"], "small");
    close(
        &overall["saved_per_month"],
        MONTH_S * (256e-6 - 14e-6) + 800.0,
    );
    let said = savings["assumptions"].to_string();
    assert!(said.contains("3 SQL statements"), "{said}");

    let shown = changeover(client, &["savings", "--days", "1", "--output", "table"]).await;
    let table = String::from_utf8(shown.stdout).unwrap();
    println!("{table}");
    for line in [
        "commission  mirror  40 ",
        "all: without notices, of which not everything is known",
        "notices: now: not known",
        "nobody has asked for quiet in 1 days",
        "small carries 10/s and would do in place of large: 800.00 EUR less a month",
        "assumed:",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    let one = changeover(client, &["savings", "quiet", "--days", "1"]).await;
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one["modules"].as_array().unwrap().len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_has_counted_nothing_says_that() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a").set("savings.flush", "1h")).await;
    let client = &gateway.client;
    let savings = client.get("/admin/v1/savings").await.json();
    assert_eq!(
        (&savings["currency"], &savings["days"]),
        (&Value::Null, &json!(7))
    );
    for unknown in ["before", "now", "saved_per_month"] {
        assert_eq!(savings["overall"][unknown], Value::Null, "{unknown}");
    }
    for module in savings["modules"].as_array().unwrap() {
        assert_eq!(module["before"]["source"], "unknown");
        assert_eq!(module["now"]["cost"], Value::Null);
        assert_eq!(module["notes"].as_array().unwrap().len(), 2, "{module}");
    }
    assert_eq!(savings["unused"], json!([]), "nobody has looked");
    let table = changeover(client, &["savings", "--output", "table"]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("no price table"), "{table}");
    let all = table
        .lines()
        .find(|line| line.starts_with("all  "))
        .unwrap();
    assert!(all.contains('?') && !all.contains('0'), "{table}");
    for (query, status, why) in [
        (
            "days=0",
            StatusCode::BAD_REQUEST,
            "days: must be from 1 to 366",
        ),
        ("days=367", StatusCode::BAD_REQUEST, "days"),
        ("days=week", StatusCode::BAD_REQUEST, "query"),
        ("module=other", StatusCode::NOT_FOUND, "no module"),
    ] {
        let answer = client.get(&format!("/admin/v1/savings?{query}")).await;
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.text.contains(why), "{answer:?}");
    }
    tokio::time::timeout(Duration::from_mins(1), gateway.stop())
        .await
        .unwrap();
}
