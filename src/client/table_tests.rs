//! Every cell of the tables in `docs/CLIENTS.md` is what the code does, and they have every state and every event.

use std::{fmt::Debug, fs, path::Path};

use super::{
    Asking, AskingEvent, ConnectionEvent, ConnectionState, Reading, ReadingEvent, Way, WayEvent,
};

/// A table of the page, below the comment `<!-- table: name -->`: its cells without the space around them.
fn documented(name: &str) -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLIENTS.md");
    let page = fs::read_to_string(page).unwrap();
    let begin = format!("<!-- table: {name} -->");
    let table = page.split(&begin).nth(1).expect("the page has the table");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells
            .map(|cell| cell.replace('`', "").trim().to_owned())
            .collect()
    };
    let mut rows: Vec<Vec<String>> = rows.map(cells).collect();
    rows.remove(1);
    rows
}

/// The table of the code: a row for each event, a column for each state.
fn table<S: Copy + Debug + PartialEq, E: Copy + Debug, A: Debug + 'static>(
    states: &[S],
    events: &[E],
    on: impl Fn(S, E) -> (S, &'static [A]),
) -> Vec<Vec<String>> {
    let head = [String::new()].into_iter();
    let mut rows = vec![
        head.chain(states.iter().map(|state| format!("{state:?}")))
            .collect(),
    ];
    for event in events {
        let cells = states.iter().map(|state| {
            let (next, acts) = on(*state, *event);
            cell(*state, next, acts)
        });
        rows.push([format!("{event:?}")].into_iter().chain(cells).collect());
    }
    rows
}

fn cell<S: Copy + Debug + PartialEq, A: Debug>(state: S, next: S, acts: &[A]) -> String {
    let mut parts: Vec<_> = acts.iter().map(|act| format!("{act:?}")).collect();
    if next != state {
        parts.insert(0, format!("→ {next:?}"));
    }
    if parts.is_empty() {
        "–".to_owned()
    } else {
        parts.join(", ")
    }
}

#[track_caller]
fn assert_documented(name: &str, table: &[Vec<String>]) {
    let told = documented(name);
    let lines = |rows: &[Vec<String>]| {
        let lines = rows.iter().map(|row| format!("| {} |", row.join(" | ")));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(lines(&told), lines(table), "{name}:\n{}", lines(table));
}

#[test]
fn the_session_is_as_documented() {
    let table = table(&Asking::ALL, &AskingEvent::ALL, Asking::on);
    assert_documented("session", &table);
}

#[test]
fn a_connection_is_as_documented() {
    let table = table(
        &ConnectionState::ALL,
        &ConnectionEvent::ALL,
        ConnectionState::on,
    );
    assert_documented("connection", &table);
}

#[test]
fn the_way_is_as_documented() {
    assert_documented("way", &table(&Way::ALL, &WayEvent::ALL, Way::on));
}

#[test]
fn the_reads_are_as_documented() {
    assert_documented(
        "reads",
        &table(&Reading::ALL, &ReadingEvent::ALL, Reading::on),
    );
}
