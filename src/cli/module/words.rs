//! Figures and facts of a module in few words.

use std::fmt;

use serde_json::Value;

use super::view::{Check, Clients, FromMemory, Guard, ModuleView, Route, Target};
pub(super) use crate::cli::output::time;
use crate::cli::screen::{Line, Tone};

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "-";

/// `10`, `33.33`, `0.5`: at most two decimals, and none for nothing.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// `25 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", number(share))
}

/// `3 ms`, `2.4 s`, `3 min 20 s`, `5 h 2 min`.
pub(super) fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", s, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3_600, s / 60 % 60),
    }
}

/// `12 clients`, `1 client`, `25 percent`; a figure that is missing has no unit.
pub(super) fn with_unit(figure: &str, unit: &str) -> String {
    let unit = match (figure, unit) {
        (NOTHING, _) => "",
        (_, "ms") => unit,
        ("1", several) => several.strip_suffix('s').unwrap_or(several),
        (_, several) => several,
    };
    format!("{figure} {unit}").trim_end().to_owned()
}

/// A time that may be missing.
pub(super) fn time_or_nothing(rfc3339: Option<&String>) -> String {
    rfc3339.map_or_else(|| NOTHING.to_owned(), |at| time(at))
}

/// That the database does not answer, and how old the rest is.
pub(super) fn from_memory(memory: &FromMemory) -> String {
    let why = &memory.why;
    match memory.read_ms_ago {
        Some(ms) => format!(
            "{why}: this is what the gateway remembers, last read {} ago",
            duration(ms)
        ),
        None => format!("{why}, and the gateway has never read it: this is where modules begin"),
    }
}

/// The stage that engineers ask for, with its share: `ramp 25 %`.
pub(super) fn requested(m: &ModuleView) -> String {
    let paused = if m.paused { ", paused" } else { "" };
    match (m.stage_requested.as_str(), m.percent) {
        ("ramp", Some(share)) => format!("ramp {}{paused}", percent(share)),
        (stage, _) => format!("{stage}{paused}"),
    }
}

/// The stage that is in force, with the reason where it is not the one that engineers ask for.
pub(super) fn effective(m: &ModuleView) -> Line {
    in_force(m, held_down_by(m))
}

/// The same without what lies behind the reason.
pub(super) fn effective_in_short(m: &ModuleView) -> Line {
    in_force(m, word(m))
}

fn in_force(m: &ModuleView, why: impl fmt::Display) -> Line {
    let stage = &m.stage_effective;
    match (m.is_held_down(), m.effective_reason.as_str()) {
        (false, _) => Line::of(Tone::Good, stage),
        (true, "no-upstream") => Line::plain(format!("{stage} (no-upstream)")),
        (true, _) => Line::of(Tone::Bad, format!("{stage} ({why})")),
    }
}

/// What holds it down: the word that clients are told, and for the guard its cause.
pub(super) fn held_down_by(m: &ModuleView) -> String {
    let word = word(m);
    let holds = |guard: &&Guard| guard.state == "tripped" && !guard.is_nobodys();
    let tripped = m.guard.iter().find(holds);
    match tripped.and_then(|guard| guard.cause.as_deref()) {
        Some(cause) if word == "guard" => format!("guard: {cause}"),
        _ => word.to_owned(),
    }
}

fn word(m: &ModuleView) -> &str {
    let is_lower = m.stage_effective != m.stage_requested;
    match m.effective_reason.as_str() {
        // Where a step is asked for that a panic takes nothing from, the panic is still to be seen.
        _ if !is_lower && !m.panics.is_empty() => "panic",
        "" => NOTHING,
        word => word,
    }
}

/// The worst lag of the targets that the asked replica feeds, or what is worse than a lag.
pub(super) fn lag(m: &ModuleView) -> Line {
    if m.targets.iter().any(|target| target.halted.is_some()) {
        return Line::of(Tone::Bad, "halted");
    }
    if m.targets.iter().any(|target| !target.connected) {
        return Line::of(Tone::Bad, "not connected");
    }
    let lag = m.targets.iter().map(|target| target.lag_ms).max();
    lag.map_or_else(|| Line::plain(NOTHING), |ms| Line::plain(duration(ms)))
}

/// The guard of all targets that clients are told: the worst of them.
pub(super) fn guard(m: &ModuleView, in_short: bool) -> Line {
    let rank = |guard: &&Guard| match guard.state.as_str() {
        "watching" => 0,
        "returning" => 1,
        _ => 2,
    };
    let theirs = m.guard.iter().filter(|guard| !guard.is_nobodys());
    match theirs.max_by_key(rank) {
        None => Line::plain(NOTHING),
        Some(worst) if in_short => Line::of(guard_tone(worst), &worst.state),
        Some(worst) => guard_of(worst),
    }
}

/// The guard of a target: `tripped: lag`, `returning: 40 %`.
pub(super) fn guard_of(guard: &Guard) -> Line {
    let more = match guard.state.as_str() {
        "watching" => None,
        "returning" => guard.pushed_percent.map(percent),
        _ => guard.cause.clone(),
    };
    let more = more.map_or_else(String::new, |more| format!(": {more}"));
    Line::of(guard_tone(guard), format!("{}{more}", guard.state))
}

fn guard_tone(guard: &Guard) -> Tone {
    match guard.state.as_str() {
        "watching" => Tone::Good,
        "returning" => Tone::Warn,
        _ => Tone::Bad,
    }
}

/// The gate of the next step: `pass`, `fail 2 of 5`.
pub(super) fn gate(m: &ModuleView, in_short: bool) -> Line {
    let Some(gate) = &m.gate else {
        return Line::plain(NOTHING);
    };
    let (tone, word) = (verdict_tone(&gate.verdict), verdict(&gate.verdict));
    let is_open = |check: &&Check| check.verdict != "pass";
    let open = gate.checks.iter().filter(is_open).count();
    if in_short || open == 0 {
        return Line::of(tone, word);
    }
    Line::of(tone, format!("{word} {open} of {}", gate.checks.len()))
}

/// How a verdict is said in few letters.
pub(super) fn verdict(word: &str) -> &str {
    match word {
        "not-enough-data" => "no data",
        word => word,
    }
}

/// How a verdict is meant.
pub(super) fn verdict_tone(word: &str) -> Tone {
    match word {
        "pass" => Tone::Good,
        "fail" => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// A threshold as it came: a number or a text.
pub(super) fn threshold(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        other => other.as_f64().map_or_else(|| other.to_string(), number),
    }
}

/// The share of the known clients that is on push.
pub(super) fn on_push(m: &ModuleView) -> String {
    let share = m.clients.as_ref().and_then(Clients::pushed_percent);
    share.map_or_else(
        || NOTHING.to_owned(),
        // A tenth says enough of clients that come and go.
        |share| percent((share * 10.0).round() / 10.0),
    )
}

/// `old` for everybody, or `95 % old, 5 % new`.
pub(super) fn routes(routes: &[Route]) -> String {
    match routes {
        [] => NOTHING.to_owned(),
        [only] => only.target.clone(),
        several => {
            let told = several
                .iter()
                .map(|share| format!("{} {}", percent(share.percent), share.target));
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

/// The entries of a list.
pub(super) fn entries(list: &[String], between: &str) -> String {
    if list.is_empty() {
        return NOTHING.to_owned();
    }
    list.join(between)
}

/// How a connection stands.
pub(super) fn connected(target: &Target) -> Line {
    if target.connected {
        Line::of(Tone::Good, "yes")
    } else {
        Line::of(Tone::Bad, "no")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [10.0, 33.33, 0.5, 0.0, 100.0].map(number),
            ["10", "33.33", "0.5", "0", "100"]
        );
        assert_eq!(
            [0, 999, 1_000, 61_000, 3_720_000].map(duration),
            ["0 ms", "999 ms", "1.0 s", "1 min 1 s", "1 h 2 min"]
        );
    }
}
