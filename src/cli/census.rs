//! `changeover census [M]`: who was last seen how.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::Value;

use super::{
    Failure, Globals, Output,
    client::Remote,
    output::{cell, time_cell},
    screen::{self, Column, Line, Surface, Table},
};

/// Which clients to show.
#[derive(Debug, Args)]
pub struct Census {
    /// Of which module; without it of all.
    module: Option<String>,
    /// Only those who poll, or those on push.
    #[arg(long, value_parser = ["poll", "push"])]
    transport: Option<String>,
    /// Only those whose program is such a one; `*` stands for anything.
    #[arg(long, value_name = "PATTERN")]
    agent: Option<String>,
    /// Only those who were seen within this time, such as `7d`; without it within `census.window`.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    within: Option<Duration>,
    /// Goes on behind the last client of the page before, as that page says.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    /// Most clients that are shown, up to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const PATH: [&str; 3] = ["admin", "v1", "census"];

impl Census {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let since = self.within.map(|within| {
            let since = SystemTime::now().checked_sub(within);
            let since = since
                .unwrap_or(SystemTime::UNIX_EPOCH)
                .max(SystemTime::UNIX_EPOCH);
            humantime::format_rfc3339_micros(since).to_string()
        });
        let all = [
            ("module", self.module),
            ("transport", self.transport),
            ("agent", self.agent),
            ("since", since),
            ("after", self.after),
            ("limit", Some(self.limit.to_string())),
        ];
        let query: Vec<_> = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let answer = self.remote.client(globals)?.get(&PATH, &query).await?;
        Ok(self.output.print(&answer, table)?)
    }
}

/// An estimate, unless there are none.
fn without_id(count: &Value) -> String {
    match count["without_id"].as_u64() {
        None | Some(0) => "0".to_owned(),
        Some(some) => format!("~{some}"),
    }
}

const COUNTS: [Column<'static>; 6] = [
    Column::needed("MODULE"),
    Column::needed("PUSH"),
    Column::needed("POLL"),
    Column::needed("FELL BACK"),
    Column::spare("WITHOUT ID", 1),
    Column::spare("SINCE", 2).whole(),
];

const CLIENTS: [Column<'static>; 6] = [
    Column::needed("MODULE"),
    Column::needed("CLIENT"),
    Column::needed("TRANSPORT"),
    Column::needed("AGENT"),
    Column::needed("LAST SEEN").whole(),
    Column::spare("FIRST SEEN", 1).whole(),
];

fn table(answer: &Value) -> String {
    screen::written(&lines(answer, Surface::of_output().width))
}

/// The counts, then the clients, then how to go on.
fn lines(answer: &Value, width: Option<usize>) -> Vec<Line> {
    let rows = |member: &str, cells: fn(&Value) -> [String; 6]| {
        let list = answer[member].as_array().into_iter().flatten();
        let cells = list.map(|one| cells(one).map(Line::plain).to_vec());
        cells.collect::<Vec<_>>()
    };
    let mut lines = Table::new(&COUNTS, rows("counts", count)).lines(width);
    lines.push(Line::default());
    lines.extend(seen(Table::new(&CLIENTS, rows("clients", client)), width));
    if answer["next"].is_string() {
        let next = cell(answer, "next");
        lines.push(Line::plain(format!("there are more: --after {next}")));
    }
    lines
}

/// Where there is hardly room for anything, when they were seen is left out whole.
fn seen(clients: Table<'_>, width: Option<usize>) -> Vec<Line> {
    let lines = clients.lines(width);
    let fits = |line: &Line| width.is_none_or(|width| line.width() <= width);
    if lines.iter().all(fits) {
        return lines;
    }
    clients.without("LAST SEEN").lines(width)
}

fn count(one: &Value) -> [String; 6] {
    let about = |member: &str| match one.get("exact") {
        Some(Value::Bool(false)) => format!("~{}", cell(one, member)),
        _ => cell(one, member),
    };
    [
        cell(one, "module"),
        about("push"),
        about("poll"),
        cell(one, "fell_back"),
        without_id(one),
        time_cell(one, "since"),
    ]
}

fn client(one: &Value) -> [String; 6] {
    let fell_back = one.get("fell_back") == Some(&Value::Bool(true));
    let note = if fell_back { ", fell back" } else { "" };
    [
        cell(one, "module"),
        cell(one, "client_id"),
        format!("{}{note}", cell(one, "transport")),
        cell(one, "agent"),
        time_cell(one, "last_seen"),
        time_cell(one, "first_seen"),
    ]
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn shown(width: usize) -> String {
        let time = "2030-01-01T00:00:00.123456Z";
        let client = |id: &str, fell_back: bool| {
            json!({"module": "commission", "client_id": id, "transport": "poll", "fell_back": fell_back,
                "agent": "Terminal/1.9 (branch office)", "last_seen": time, "first_seen": time})
        };
        let answer = json!({
            "counts": [{"module": "commission", "push": 120, "poll": 2, "fell_back": 1, "without_id": 0, "since": time}],
            "clients": [client("terminal-0007", true), client("terminal-0008", false)],
            "next": "abc",
        });
        let lines = lines(&answer, Some(width));
        assert!(lines.iter().all(|line| line.width() <= width), "too wide");
        let lines = lines.iter().map(|line| line.written(false));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn no_time_is_cut() {
        assert_snapshot!("census_120", shown(120));
        assert_snapshot!("census_80", shown(80));
        assert_snapshot!("census_40", shown(40));
    }
}
