//! A row that can never be numbered is put aside with its reason, and the log goes on. An operator
//! looks at it with the real program, tries it again or drops it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, Setup, assert_dense, changeover, insert, keys},
};

const SOON: Duration = Duration::from_secs(30);

crate::on_each_database!(
    every_poison_is_parked_with_its_reason_and_the_log_goes_on,
    operators_retry_and_drop,
    an_unknown_module_waits_for_its_configuration,
);

/// A row's columns as SQL, and how the reason begins.
type Poison = (&'static str, String, &'static str);

fn row(key: &str, op: &str, value: &str) -> String {
    format!("(module, entity_key, op, value) VALUES ('commission', {key}, {op}, {value})")
}

fn poisons(kind: Kind) -> Vec<Poison> {
    let (bell, many) = match kind {
        Kind::Sqlite => ("char(7)", "replace(hex(zeroblob(300)), '00', 'xx')"),
        Kind::Postgres => ("chr(7)", "repeat('x', 600)"),
        Kind::MariaDb => ("char(7)", "repeat('x', 600)"),
    };
    let big = match kind {
        Kind::Sqlite => "'\"' || hex(zeroblob(140000)) || '\"'",
        Kind::Postgres | Kind::MariaDb => "'\"' || repeat('0', 280000) || '\"'",
    };
    let mut poisons = vec![
        (
            "half an object",
            row("'a'", "'upsert'", "'{\"a\":'"),
            "value:",
        ),
        ("no JSON", row("'b'", "'upsert'", "'hello'"), "value:"),
        ("two values", row("'c'", "'upsert'", "'1 2'"), "value:"),
        ("empty", row("'d'", "'upsert'", "''"), "value:"),
        ("large value", row("'e'", "'upsert'", big), "value:"),
        ("no value, no op", row("'f'", "NULL", "NULL"), "value:"),
        ("large key", row(many, "'upsert'", "'1'"), "key:"),
        ("empty key", row("''", "'upsert'", "'1'"), "key:"),
        ("bell in key", row(bell, "'upsert'", "'1'"), "key:"),
        ("bad op", row("'g'", "'replace'", "'1'"), "op:"),
        ("shouted op", row("'h'", "'UPSERT'", "'1'"), "op:"),
        (
            "audience with a bell",
            format!(
                "(module, entity_key, value, audience) VALUES ('commission', 'i', '1', {bell})"
            ),
            "audience:",
        ),
        (
            "large change id",
            format!(
                "(module, entity_key, value, change_id) VALUES ('commission', 'j', '1', {many})"
            ),
            "change_id:",
        ),
    ];
    if kind != Kind::Postgres {
        // PostgreSQL refuses these at the insert.
        let bytes = |hex| match kind {
            Kind::MariaDb => format!("x'{hex}'"),
            _ => format!("CAST(x'{hex}' AS TEXT)"),
        };
        poisons.extend([
            ("key bytes", row(&bytes("ff"), "'upsert'", "'1'"), "key:"),
            (
                "value bytes",
                row("'k'", "'upsert'", &bytes("22ff22")),
                "value:",
            ),
            (
                "a null character",
                row("'a' || char(0)", "'upsert'", "'1'"),
                "key:",
            ),
        ]);
    }
    poisons
}

async fn every_poison_is_parked_with_its_reason_and_the_log_goes_on(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let poisons = poisons(database.kind);
    let mut producer = database.producer().await;
    // One transaction, so that good and bad rows share batches.
    producer.execute("BEGIN").await;
    for (number, (_, columns, _)) in poisons.iter().enumerate() {
        producer
            .execute(&insert(&format!("good-{number}"), "1"))
            .await;
        producer
            .execute(&format!("INSERT INTO outbox {columns}"))
            .await;
    }
    // Absent and NULL columns that have defaults are no poison.
    producer
        .execute("INSERT INTO outbox (module, entity_key, value, audience, op, occurred_at) VALUES ('commission', 'nulls', '1', NULL, NULL, NULL)")
        .await;
    producer.execute("COMMIT").await;

    let all = gateway.client.items(0, poisons.len() + 1, SOON).await;
    assert_dense(&all);
    let mut expected: Vec<_> = (0..poisons.len())
        .map(|number| format!("good-{number}"))
        .collect();
    expected.push("nulls".to_owned());
    assert_eq!(keys(&all), expected);
    let parked = rejected(&gateway).await;
    assert_eq!(parked.len(), poisons.len());
    for ((what, _, reason), row) in poisons.iter().zip(&parked) {
        let said = row["reason"].as_str().unwrap();
        assert!(said.starts_with(reason), "{what}: {said}");
        assert!(said.len() > reason.len() + 5, "{what}: {said}");
    }
    let metrics = gateway.client.get("/metrics").await.text;
    assert!(metrics.contains("changeover_rejected_total"), "{metrics}");
    gateway.stop().await;
}

async fn operators_retry_and_drop(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    for key in ["x", "y", "z"] {
        database.execute(&insert(key, "broken")).await;
    }
    let parked = parked(&gateway, 3).await;
    let id = |index: usize| parked[index]["id"].to_string();

    // Still bad: parked again, under another id, behind the others.
    let (code, answer) = run(&gateway, &["retry", &id(0), "--reason", "hope"]).await;
    assert_eq!((code, answer["rows"].clone()), (0, 1.into()));
    let again = eventually("the row is parked again", SOON, async || {
        let rows = rejected(&gateway).await;
        (rows.len() == 3 && rows[2]["key"] == "x").then_some(rows)
    })
    .await;
    assert_ne!(again[2]["id"], parked[0]["id"]);

    // Mended by hand: numbered now.
    let mend = "UPDATE outbox_rejected SET value = '{\"mended\":true}' WHERE id = ";
    database.execute(&format!("{mend}{}", id(1))).await;
    let (code, _) = run(&gateway, &["retry", &id(1), "--reason", "mended"]).await;
    assert_eq!(code, 0);
    let all = gateway.client.items(0, 1, SOON).await;
    assert_eq!(
        (keys(&all), &all[0]["body"]["mended"]),
        (vec!["y".to_owned()], &true.into())
    );

    // A dry run drops nothing; nothing named is nothing done; then all go.
    let (code, answer) = run(&gateway, &["drop", "--all", "--reason", "r", "--dry-run"]).await;
    assert_eq!((code, answer["rows"].clone()), (0, 2.into()));
    assert_eq!(run(&gateway, &["drop", "--reason", "r"]).await.0, 64);
    assert_eq!(run(&gateway, &["drop", "--all"]).await.0, 64, "why?");
    assert_eq!(rejected(&gateway).await.len(), 2);
    let (code, answer) = run(&gateway, &["drop", "--all", "--reason", "junk"]).await;
    assert_eq!((code, answer["rows"].clone()), (0, 2.into()));
    assert!(rejected(&gateway).await.is_empty());
    gateway.stop().await;
}

async fn an_unknown_module_waits_for_its_configuration(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").set("outbox.unknown_module_after", "1s");
    let gateway = InProcess::start(&setup).await;
    let stranger = "INSERT INTO outbox (module, entity_key, value) VALUES";
    database
        .execute(&format!("{stranger} ('later', 'k', '1')"))
        .await;
    database
        .execute(&format!("{stranger} ('No Such!', 'k', '1')"))
        .await;
    database.execute(&insert("known", "1")).await;
    gateway.client.items(0, 1, SOON).await;
    let parked = parked(&gateway, 2).await;
    for row in &parked {
        let time = |column: &str| row[column].as_i64().unwrap();
        let waited_us = time("rejected_at") - time("occurred_at");
        assert!(waited_us > 900_000, "it waits first: {row}");
    }
    let reasons: BTreeMap<_, _> = parked
        .iter()
        .map(|row| {
            (
                row["module"].as_str().unwrap(),
                row["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        reasons["later"].starts_with("module: no configuration names"),
        "{reasons:?}"
    );
    assert!(reasons["No Such!"].starts_with("module: "), "{reasons:?}");
    gateway.stop().await;

    // The configuration that names it arrives, and an operator tries again.
    let gateway = InProcess::start(&setup.add("\n[[modules]]\nname = \"later\"\n")).await;
    let (code, answer) = run(&gateway, &["retry", "--all", "--reason", "now it is known"]).await;
    assert_eq!((code, answer["rows"].clone()), (0, 2.into()));
    eventually("the row is numbered", SOON, async || {
        let head = gateway.client.get("/admin/v1/modules/later").await.json()["head"].clone();
        (head == 1).then_some(())
    })
    .await;
    self::parked(&gateway, 1).await;
    gateway.stop().await;
}

/// Runs `changeover outbox rejected …`. Returns the exit code, and the answer if it is JSON.
async fn run(gateway: &InProcess, arguments: &[&str]) -> (i32, Value) {
    let arguments = [&["outbox", "rejected"], arguments].concat();
    let output = changeover(&gateway.client, &arguments).await;
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), answer)
}

async fn rejected(gateway: &InProcess) -> Vec<Value> {
    let (code, answer) = run(gateway, &["list"]).await;
    assert_eq!(code, 0);
    answer["rows"].as_array().unwrap().clone()
}

async fn parked(gateway: &InProcess, count: usize) -> Vec<Value> {
    eventually("the rows are parked", SOON, async || {
        let rows = rejected(gateway).await;
        (rows.len() == count).then_some(rows)
    })
    .await
}
