//! `changeover census [M]`: who was last seen how.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::Value;

use super::{
    Failure, Globals, Output,
    client::Remote,
    output::{cell, columns},
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

/// The counts, then the clients, then how to go on.
fn table(answer: &Value) -> String {
    let list = |member: &str| answer[member].as_array().into_iter().flatten();
    let about = |one: &Value, member: &str| match one.get("exact") {
        Some(Value::Bool(false)) => format!("~{}", cell(one, member)),
        _ => cell(one, member),
    };
    let count = |one: &Value| {
        vec![
            cell(one, "module"),
            about(one, "push"),
            about(one, "poll"),
            cell(one, "fell_back"),
            without_id(one),
            cell(one, "since"),
        ]
    };
    let counts: Vec<_> = list("counts").map(count).collect();
    let heads = ["MODULE", "PUSH", "POLL", "FELL BACK", "WITHOUT ID", "SINCE"];
    let counts = columns(&heads, &counts);
    let client = |one: &Value| {
        let fell_back = one.get("fell_back") == Some(&Value::Bool(true));
        let note = if fell_back { ", fell back" } else { "" };
        vec![
            cell(one, "module"),
            cell(one, "client_id"),
            format!("{}{note}", cell(one, "transport")),
            cell(one, "agent"),
            cell(one, "last_seen"),
            cell(one, "first_seen"),
        ]
    };
    let clients: Vec<_> = list("clients").map(client).collect();
    let heads = [
        "MODULE",
        "CLIENT",
        "TRANSPORT",
        "AGENT",
        "LAST SEEN",
        "FIRST SEEN",
    ];
    let clients = columns(&heads, &clients);
    let more = match answer["next"].as_str() {
        Some(_) => format!("\nthere are more: --after {}", cell(answer, "next")),
        None => String::new(),
    };
    format!("{counts}\n\n{clients}{more}")
}
