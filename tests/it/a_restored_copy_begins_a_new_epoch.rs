//! An older copy of the database is put in place under clients with integer and token cursors, without a cursor, and
//! on push. Whoever can know of it begins a new epoch, and nobody loses a change silently: every client
//! ends with exactly what the database holds.

use std::time::Duration;

use changeover::config::mqtt::Protocol;
use serde_json::{Value, json};

use crate::support::{
    backup::Backup,
    copies::{MODULES, NAMES, Poller, Pushed, truth},
    database::DatabaseUnderTest,
    eventually,
    follower::{Follower, Record},
    gateway::{Client, Program, Setup, changeover},
    mosquitto::Mosquitto,
};

const SOON: Duration = Duration::from_mins(1);

crate::on_each_database!(
    under_a_running_gateway,
    between_stop_and_start_the_retained_message_tells,
    between_stop_and_start_without_a_witness_an_operator_tells,
    under_two_gateways_one_epoch_begins,
    asked_for_while_numbering_is_busy_it_loses_nothing,
    a_gateway_killed_in_the_middle_begins_all_of_it_or_nothing,
);

/// One client of each sort.
struct Clients {
    ints: Poller,
    tokens: Poller,
    whole: Poller,
    pushed: Option<Pushed>,
}

impl Clients {
    async fn start(broker: Option<&str>) -> Self {
        let pushed = match broker {
            Some(broker) => Some(Pushed::start(broker, "pushed").await),
            None => None,
        };
        Self {
            ints: Poller::new("ints"),
            tokens: Poller::new("tokens"),
            whole: Poller::new("whole"),
            pushed,
        }
    }

    fn pollers(&mut self) -> impl Iterator<Item = &mut Poller> {
        [&mut self.ints, &mut self.tokens, &mut self.whole].into_iter()
    }

    /// Waits until each holds what the database holds, and the push client got some of it by MQTT.
    async fn converge(&mut self, gateway: &Client, database: &DatabaseUnderTest) {
        for poller in self.pollers() {
            let what = format!(
                "the client of {} holds what the database holds",
                poller.module
            );
            eventually(&what, SOON, async || {
                let truth = truth(database, poller.module).await;
                (poller.sync(&gateway.public).await && poller.state() == truth).then_some(())
            })
            .await;
        }
        if let Some(pushed) = &mut self.pushed {
            eventually("the client on push holds the same", SOON, async || {
                let truth = truth(database, "tokens").await;
                let synced = pushed.sync(&gateway.public).await;
                (synced && pushed.poller.state() == truth).then_some(())
            })
            .await;
        }
    }
}

/// Stores the same changes in each module: upserts of `keys`, and a delete of every fifth of them.
async fn store(gateway: &Client, part: &str, keys: std::ops::Range<u32>) {
    let mut changes: Vec<Value> = keys
        .clone()
        .map(|n| json!({"key": format!("k{n}"), "value": {"part": part, "n": n}}))
        .collect();
    let deletes = keys.step_by(5);
    changes.extend(deletes.map(|n| json!({"key": format!("k{n}"), "op": "delete"})));
    for module in NAMES {
        let path = format!("/v1/modules/{module}/changes");
        let answer = gateway.post(&path, &json!(changes)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

async fn numbered(database: &DatabaseUnderTest) {
    eventually("everything is numbered", SOON, async || {
        let rows = number(database, "SELECT CAST(count(*) AS CHAR(20)) FROM outbox");
        (rows.await == 0).then_some(())
    })
    .await;
}

/// `epoch/head` of a module.
async fn mark(database: &DatabaseUnderTest, module: &str) -> (u32, u64) {
    let of = async |column: &str| {
        let from = format!("FROM module_head WHERE module = '{module}'");
        number(
            database,
            &format!("SELECT CAST({column} AS CHAR(20)) {from}"),
        )
        .await
    };
    (u32::try_from(of("epoch").await).unwrap(), of("head").await)
}

/// A number that was cast to text, with the blanks that one of the databases puts behind it.
async fn number(database: &DatabaseUnderTest, sql: &str) -> u64 {
    database.text(sql).await.unwrap().trim().parse().unwrap()
}

/// Waits until all modules are in this epoch. Each began it once, and the audit says by whom.
async fn in_epoch(database: &DatabaseUnderTest, epoch: u32, actor: &str) {
    for module in NAMES {
        eventually("the new epoch has begun", SOON, async || {
            (mark(database, module).await.0 == epoch).then_some(())
        })
        .await;
        let entries = format!(
            "SELECT CAST(count(*) AS CHAR(20)) FROM audit \
             WHERE module = '{module}' AND action = 'epoch' AND actor = '{actor}'"
        );
        assert_eq!(number(database, &entries).await, 1, "{module}");
    }
}

/// A history with a copy from the middle of it, known to all clients to its end: 36 positions, 60 more.
async fn lost_history(
    gateway: &Client,
    database: &DatabaseUnderTest,
    clients: &mut Clients,
) -> Backup {
    store(gateway, "first", 0..30).await;
    numbered(database).await;
    clients.converge(gateway, database).await;
    let backup = Backup::take(database).await;
    store(gateway, "lost", 20..70).await;
    numbered(database).await;
    clients.converge(gateway, database).await;
    assert_eq!(mark(database, "ints").await, (1, 96));
    assert_eq!(clients.ints.cursor, "96");
    backup
}

/// After a restore and a few more changes: everybody converges, and those with a cursor were told.
async fn nobody_lost_anything(
    gateway: &Client,
    database: &DatabaseUnderTest,
    clients: &mut Clients,
) {
    clients.converge(gateway, database).await;
    store(gateway, "last", 25..35).await;
    numbered(database).await;
    clients.converge(gateway, database).await;
    // The mirror follows into the new epoch. A client that reads because its broker shows the epoch may have
    // a change already when it comes by MQTT, so it takes some more.
    if clients.pushed.is_some() {
        let by_mqtt = |clients: &Clients| clients.pushed.as_ref().map(|pushed| pushed.by_mqtt);
        let before = by_mqtt(clients);
        eventually("a change comes by MQTT again", SOON, async || {
            store(gateway, "again", 30..31).await;
            numbered(database).await;
            clients.converge(gateway, database).await;
            (by_mqtt(clients) > before).then_some(())
        })
        .await;
    }
    assert_eq!(clients.ints.told, 1);
    assert_eq!(clients.tokens.told, 1);
    let (_, head) = mark(database, "ints").await;
    eventually("the integer cursor is at the head", SOON, async || {
        let synced = clients.ints.sync(&gateway.public).await;
        (synced && clients.ints.cursor == head.to_string()).then_some(())
    })
    .await;
    assert!(head > 1_000_000);
    // One that had got farther than anybody knows of.
    let mut farther = Poller::new("ints");
    "5036".clone_into(&mut farther.cursor);
    assert!(farther.sync(&gateway.public).await);
    assert_eq!(farther.told, 1);
    assert_eq!(farther.state(), truth(database, "ints").await);
    assert_eq!(farther.cursor, head.to_string());
}

fn setup(database: &DatabaseUnderTest, name: &str) -> Setup {
    Setup::new(database, name).modules(MODULES)
}

async fn under_a_running_gateway(database: DatabaseUnderTest) {
    let gateway = Program::start(&setup(&database, "a")).await;
    let mut clients = Clients::start(gateway.mqtt.as_deref()).await;
    let client = &gateway.client;
    let backup = lost_history(client, &database, &mut clients).await;
    backup.restore(&database).await;
    store(client, "later", 10..25).await;
    in_epoch(&database, 2, "changeover").await;
    numbered(&database).await;
    nobody_lost_anything(client, &database, &mut clients).await;
    let module = client.get("/admin/v1/modules/ints").await.json();
    assert_eq!(module["epoch"], 2);
}

/// Numbering has long passed the lost positions when the broker shows how far the log had been.
async fn between_stop_and_start_the_retained_message_tells(database: DatabaseUnderTest) {
    let broker = Mosquitto::start();
    let mut gateway = Program::start(&setup(&database, "a").target(&broker.url())).await;
    let mut clients = Clients::start(Some(&broker.url())).await;
    let marks = Follower::start(&broker.url(), Protocol::V5, "marks", &["changeover/m/+"]);
    let backup = lost_history(&gateway.client, &database, &mut clients).await;
    let shows = |module: &str, mark: &Value| mark["module"] == module && mark["head"] == 96;
    let of = |marks: &Record, module: &str| marks.bookmarks.iter().any(|mark| shows(module, mark));
    let all = |marks: &Record| NAMES.iter().all(|module| of(marks, module));
    marks.wait("the broker was shown all of it", all).await;
    assert_eq!(gateway.terminate().await.0, 0, "{}", gateway.log());
    backup.restore_file(&database).await;
    broker.pause();
    gateway.restart().await;
    store(&gateway.client, "later", 10..90).await;
    numbered(&database).await;
    assert_eq!(mark(&database, "ints").await, (1, 132));
    broker.resume();
    in_epoch(&database, 2, "changeover").await;
    nobody_lost_anything(&gateway.client, &database, &mut clients).await;
}

/// The embedded broker forgets with its process: nobody can know, until somebody says so.
async fn between_stop_and_start_without_a_witness_an_operator_tells(database: DatabaseUnderTest) {
    let mut gateway = Program::start(&setup(&database, "a")).await;
    let mut clients = Clients::start(None).await;
    let backup = lost_history(&gateway.client, &database, &mut clients).await;
    assert_eq!(gateway.terminate().await.0, 0, "{}", gateway.log());
    backup.restore_file(&database).await;
    gateway.restart().await;
    let client = &gateway.client;
    assert_eq!(mark(&database, "ints").await.0, 1);
    for module in NAMES {
        let mut arguments = vec!["epoch", "bump", module, "--reason", "restored", "--output"];
        let tried = changeover(client, &[&arguments[..], &["table", "--dry-run"]].concat()).await;
        let said = String::from_utf8(tried.stdout).unwrap();
        let expected = "       BEFORE  AFTER\nepoch  1       2\nhead   36      1000000\n";
        let done = format!("{module}: new epoch");
        let dry = format!("{done} (dry run, nothing was changed)\n{expected}");
        assert_eq!(said, dry);
        assert_eq!(mark(&database, module).await, (1, 36));
        arguments.push("table");
        let bumped = changeover(client, &arguments).await;
        let said = String::from_utf8(bumped.stdout).unwrap();
        assert_eq!(said, format!("{done}\n{expected}"));
    }
    in_epoch(&database, 2, "admin (for tester)").await;
    let history = changeover(client, &["module", "history", "ints", "--output", "table"]).await;
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(
        history.contains("epoch 1 at 36 -> epoch 2 at 1000000"),
        "{history}"
    );
    store(client, "later", 10..25).await;
    numbered(&database).await;
    nobody_lost_anything(client, &database, &mut clients).await;
}

async fn under_two_gateways_one_epoch_begins(database: DatabaseUnderTest) {
    let broker = Mosquitto::start();
    let start = async |name| Program::start(&setup(&database, name).target(&broker.url())).await;
    let one = start("a").await;
    let other = start("b").await;
    let mut clients = Clients::start(Some(&broker.url())).await;
    let backup = lost_history(&one.client, &database, &mut clients).await;
    let mut elsewhere = Poller::new("ints");
    eventually("the other replica has it all", SOON, async || {
        elsewhere.sync(&other.client.public).await;
        (elsewhere.cursor == "96").then_some(())
    })
    .await;
    backup.restore(&database).await;
    store(&other.client, "later", 10..25).await;
    in_epoch(&database, 2, "changeover").await;
    numbered(&database).await;
    nobody_lost_anything(&one.client, &database, &mut clients).await;
    eventually("the other replica follows", SOON, async || {
        elsewhere.sync(&other.client.public).await;
        (elsewhere.state() == truth(&database, "ints").await).then_some(())
    })
    .await;
    in_epoch(&database, 2, "changeover").await;
}

async fn asked_for_while_numbering_is_busy_it_loses_nothing(database: DatabaseUnderTest) {
    const ROUNDS: u32 = 3;

    let gateway = Program::start(&setup(&database, "a")).await;
    let client = gateway.client.clone();
    let mut clients = Clients::start(gateway.mqtt.as_deref()).await;
    let busy = tokio::spawn(async move {
        for round in 0..60_u32 {
            store(&client, &format!("round {round}"), round..round + 20).await;
        }
    });
    let client = &gateway.client;
    // Rows of before a new epoch may go at once, so what was numbered is told by where the epochs began and ended.
    let (mut numbered_before, mut began) = (0, 0);
    for round in 1..=ROUNDS {
        let path = "/admin/v1/modules/ints/epoch";
        let answer = client.post(path, &json!({"reason": "a drill"})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let (epoch, _) = mark(&database, "ints").await;
        assert_eq!(epoch, round + 1);
        let head = |when: &str| answer.json()[when]["head"].as_u64().unwrap();
        numbered_before += head("before") - began;
        began = head("after");
        clients.ints.sync(&client.public).await;
    }
    busy.await.unwrap();
    numbered(&database).await;
    let (_, head) = mark(&database, "ints").await;
    assert_eq!(numbered_before + head - began, 60 * 24);
    clients.converge(client, &database).await;
    let last = json!({"part": "round 59", "n": 78}).to_string();
    assert_eq!(truth(&database, "ints").await.get("k78"), Some(&last));
    // The epochs follow one another in the log, and each is dense.
    let rows = match database.kind {
        crate::support::database::Kind::Sqlite => "json_group_array(json_array(epoch, position))",
        crate::support::database::Kind::MariaDb => {
            "CAST(json_arrayagg(json_array(epoch, position)) AS CHAR)"
        }
        crate::support::database::Kind::Postgres => {
            "CAST(json_agg(json_build_array(epoch, position) ORDER BY position) AS text)"
        }
    };
    let log = format!(
        "SELECT {rows} FROM (SELECT epoch, position FROM change_log WHERE module = 'ints' ORDER BY position) AS log"
    );
    let log: Vec<(u64, u64)> = serde_json::from_str(&database.text(&log).await.unwrap()).unwrap();
    for pair in log.windows(2) {
        let ((epoch, position), (next_epoch, next)) = (pair[0], pair[1]);
        assert!(
            (next_epoch == epoch && next == position + 1)
                || (next_epoch > epoch && next > position + 500_000),
            "{pair:?}"
        );
    }
}

/// The audit's table is locked, so the transaction stands still in its middle, or before its begin, when it is killed.
async fn a_gateway_killed_in_the_middle_begins_all_of_it_or_nothing(database: DatabaseUnderTest) {
    use crate::support::database::Kind;

    let mut gateway = Program::start(&setup(&database, "a")).await;
    store(&gateway.client, "first", 0..30).await;
    numbered(&database).await;
    let before = truth(&database, "ints").await;
    let mut other = database.producer().await;
    let lock = match database.kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN; LOCK TABLE audit IN ACCESS EXCLUSIVE MODE",
        Kind::MariaDb => "START TRANSACTION; SELECT * FROM mirror_cursor FOR UPDATE",
    };
    other.execute(lock).await;
    let client = gateway.client.clone();
    let asking = tokio::spawn(async move {
        let url = format!("{}/admin/v1/modules/ints/epoch", client.private);
        let body = json!({"reason": "a drill"});
        client.try_send(client.http.post(url).json(&body)).await
    });
    if database.kind == Kind::Postgres {
        eventually("it waits in its middle", SOON, async || {
            let waiting = "SELECT CAST(count(*) AS CHAR(20)) FROM pg_stat_activity \
                           WHERE wait_event_type = 'Lock' AND query LIKE '%INTO audit%' \
                           AND datname = current_database()";
            (number(&database, waiting).await == 1).then_some(())
        })
        .await;
    }
    gateway.kill();
    assert!(asking.await.unwrap().is_err(), "nobody answered");
    other.execute("ROLLBACK").await;
    gateway.restart().await;
    let client = &gateway.client;
    // On PostgreSQL the orphaned transaction has what it waited for, and finds nobody to commit it.
    let mut reader = Poller::new("ints");
    assert!(reader.sync(&client.public).await);
    assert_eq!(reader.state(), before);
    let path = "/admin/v1/modules/ints/epoch";
    eventually("it can be asked for again", SOON, async || {
        let answer = client.post(path, &json!({"reason": "again"})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(mark(&database, "ints").await, (2, 1_000_000));
    store(client, "later", 10..25).await;
    numbered(&database).await;
    eventually("the client follows", SOON, async || {
        reader.sync(&client.public).await;
        (reader.state() == truth(&database, "ints").await).then_some(())
    })
    .await;
    assert_eq!(reader.told, 1);
}
