//! What follows from the figures, in sentences: what they assume, what nobody uses, what could be smaller.

use super::{
    cost::size,
    reckoning::{Reckoning, busiest, find, hours},
    view::{ModuleSavings, Overall, Unused},
};
use crate::domain::{Stage, Transport};

/// What the figures assume.
pub(super) fn assumptions(reckoning: &Reckoning<'_>) -> Vec<String> {
    let settings = reckoning.settings;
    let mut all = vec![
        "before: all clients poll, as often as they did in the hours that were counted at mirror, or as [modules.savings] requests_per_s says; a fleet that has grown since would poll more".to_owned(),
        format!("one poll was {} SQL statements in the backend of before, unless [modules.savings] says otherwise (savings.sql_per_poll)", settings.sql_per_poll),
        format!("an answer has {} bytes beside its body (savings.head_bytes); bodies count as they are before compression and quirks", settings.head_bytes),
        format!("a broker hands a message on to {} clients, unless [modules.savings] says otherwise (savings.receivers_per_message)", settings.receivers_per_message),
        "now: polls, reads over HTTP and messages of all replicas; a request of many modules is one for each; retained messages are not counted".to_owned(),
        "the gateways' own statements (numbering, the tail, leases, flags) are in the overall figures, not in a module's".to_owned(),
        "a crash, or a database that is away for longer than a shutdown waits, loses what was not written yet (savings.flush)".to_owned(),
    ];
    match &settings.prices {
        Some(prices) => all.push(format!(
            "{} per million requests {}, per million statements {}, per 10^9 bytes out {}, per million messages {}; a month has 730.5 hours (savings.prices)",
            prices.currency,
            prices.per_million_requests,
            prices.per_million_queries,
            prices.per_gb_out,
            prices.per_million_messages
        )),
        None => all.push("no money: there is no price table (savings.prices)".to_owned()),
    }
    all
}

/// The modules that nobody has asked for in the last days.
pub(super) fn unused(reckoning: &Reckoning<'_>, modules: &[ModuleSavings]) -> Vec<Unused> {
    let wanted = f64::from(reckoning.days) * 24.0;
    let look = |one: &ModuleSavings| {
        let counted = &one.now.counted;
        if counted.polls + counted.reads > 0 {
            return None;
        }
        // Rows that were never written, a gateway that did not run: that is no proof of anything.
        let watched = find(&reckoning.counted.recently, &one.module, Transport::Poll);
        let watched = watched.map_or(0.0, |sum| hours(sum.counted));
        if watched < wanted * WATCHED {
            return None;
        }
        Some(Unused {
            module: one.module.clone(),
            stage: one.stage.clone(),
            last_asked: one.now.last_asked.clone(),
            text: unused_text(reckoning, one),
        })
    };
    modules.iter().filter_map(look).collect()
}

/// The share of the time in which somebody must have counted.
const WATCHED: f64 = 0.9;

fn unused_text(reckoning: &Reckoning<'_>, one: &ModuleSavings) -> String {
    let (module, days) = (&one.module, reckoning.days);
    let last = match &one.now.last_asked {
        Some(at) => format!("last at {at}"),
        None => "never while it was counted".to_owned(),
    };
    let pushed = one.now.counted.messages;
    let end = if one.stage == Stage::Retired.as_str() {
        "its endpoint and its configuration can go"
    } else if pushed > 0 {
        "its polls can be ended, its messages are still pushed"
    } else {
        "it can be ended, or removed"
    };
    format!("nobody has asked for {module} in {days} days ({last}): {end}")
}

/// What could be smaller.
pub(super) fn shrink(
    reckoning: &Reckoning<'_>,
    modules: &[ModuleSavings],
    overall: &Overall,
) -> Vec<String> {
    let known: Vec<_> = modules
        .iter()
        .filter(|one| one.before.cost.is_some() && one.now.cost.is_some())
        .collect();
    let mut lines = Vec::new();
    if known.is_empty() {
        return lines;
    }
    let left = |all: f64| format!("{:.1} % of", 100.0 * all);
    let before: f64 = known
        .iter()
        .filter_map(|one| {
            let cost = one.before.cost?.requests_per_s;
            Some(
                one.before
                    .busiest_requests_per_s
                    .unwrap_or_default()
                    .max(cost),
            )
        })
        .sum();
    let average = known.iter().filter_map(|one| one.now.cost);
    let average: f64 = average.map(|cost| cost.requests_per_s).sum();
    // An hour that has only begun is no measure of what comes in an hour.
    let now = busiest(reckoning.counted.busiest.0).max(average);
    if before > 0.0 && now < before {
        lines.push(format!(
            "requests: the busiest hour now has {now:.2}/s, {} the {before:.2}/s that the modules' busiest hours of before add up to: what stands before the gateway can be as much smaller",
            left(now / before)
        ));
    }
    let (before, now) = reckoning.busiest_statements(&known);
    if let Some(before) = before.filter(|before| now < *before) {
        lines.push(format!(
            "database: the busiest hour now has {now:.2} statements/s, {} the {before:.2}/s of before",
            left(now / before)
        ));
    }
    lines.extend(sizes(reckoning, overall, before, now));
    lines.extend(known.iter().filter_map(|one| idle(one)));
    lines
}

fn sizes(
    reckoning: &Reckoning<'_>,
    overall: &Overall,
    before: Option<f64>,
    now: f64,
) -> Option<String> {
    let prices = reckoning.prices()?;
    let sizes = overall.database.as_ref()?;
    if let (Some(was), Some(is)) = (&sizes.before, &sizes.now) {
        let saved = sizes.saved_per_month.filter(|saved| *saved > 0.0)?;
        let carries = size(prices, now)?.queries_per_s;
        return Some(format!(
            "database: {is} carries {carries}/s and would do in place of {was}: {saved:.2} {} less a month",
            prices.currency
        ));
    }
    let largest = prices.database_sizes.last()?;
    before.filter(|before| *before > largest.queries_per_s).map(|before| {
        format!(
            "database: before, {before:.2} statements/s were more than the largest size carries ({}, {}/s): what it saved is not known",
            largest.name, largest.queries_per_s
        )
    })
}

/// A module whose polls are for nothing.
fn idle(one: &ModuleSavings) -> Option<String> {
    let counted = &one.now.counted;
    let at_mirror = one.stage == Stage::Mirror.as_str();
    let share = 100 * counted.idle_polls / counted.polls.max(1);
    (at_mirror && counted.polls > 0 && share >= 50).then(|| {
        format!(
            "{}: {share} % of its {} polls found nothing new: push would spare them",
            one.module, counted.polls
        )
    })
}
