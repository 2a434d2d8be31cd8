//! Who is told what, and who comes how.

use super::fact;
use crate::cli::{
    module::{
        view::{Clients, ModuleView},
        words,
    },
    screen::{Line, Tone},
};

pub(super) fn lines(m: &ModuleView) -> Vec<Line> {
    let mut lines = vec![
        fact("cohort", Line::plain(cohort(m))),
        fact("target", Line::plain(words::routes(&m.routes))),
    ];
    if let Some(clients) = &m.clients {
        lines.push(fact("clients", seen(clients)));
    }
    lines
}

/// The cohort decides at `ramp` alone; it is kept at the other steps.
fn cohort(m: &ModuleView) -> String {
    let share = m
        .percent
        .map_or_else(|| words::NOTHING.to_owned(), words::percent);
    let list = |list: &[String], what| match list {
        [] => String::new(),
        list => format!(", {what} {}", list.join(" ")),
    };
    let at = if m.stage_requested == "ramp" {
        ""
    } else {
        " (at ramp)"
    };
    format!(
        "{share}{at}{}{}",
        list(&m.include, "and"),
        list(&m.exclude, "without")
    )
}

fn seen(clients: &Clients) -> Line {
    let about = if clients.exact { "" } else { "about " };
    let share = clients.pushed_percent();
    let share = share.map_or_else(String::new, |share| {
        format!(" ({})", words::percent((share * 10.0).round() / 10.0))
    });
    let since = words::time_or_nothing(clients.since.as_ref());
    let counts = format!(
        "{about}{} on push{share}, {} poll, ",
        clients.push, clients.poll
    );
    let tone = if clients.fell_back == 0 {
        Tone::Plain
    } else {
        Tone::Warn
    };
    let line = Line::plain(counts).with(tone, format!("{} fell back", clients.fell_back));
    let line = match clients.without_id {
        0 => line,
        some => line.with(Tone::Warn, format!(", about {some} without an id")),
    };
    line.with(Tone::Plain, format!(", since {since}"))
}
