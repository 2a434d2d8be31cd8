//! The ladder: its steps, the one that is asked for, the one that is in force, and why.

use super::{by, fact};
use crate::{
    cli::{
        module::{view::ModuleView, words},
        screen::{Line, Tone},
    },
    domain::Stage,
};

pub(super) fn lines(m: &ModuleView) -> Vec<Line> {
    let mut lines = vec![steps(m), asked_for(m), in_force(m)];
    if m.paused {
        let what = "no step is made until `changeover module resume`";
        lines.push(fact("paused", Line::of(Tone::Warn, what)));
    }
    if let Some(forced) = &m.forced {
        let past = words::entries(&forced.checks, ", ");
        let by = by(&forced.by, forced.at.as_ref(), &forced.reason);
        let what = format!("{} past {past}, {by}", forced.step);
        lines.push(fact("forced", Line::of(Tone::Warn, what)));
    }
    if m.ends_at.is_some() || !m.brownouts.is_empty() || !m.block.is_empty() {
        lines.push(fact("end", Line::plain(end(m))));
    }
    lines
}

/// `proxy > shadow > (mirror) > [ramp] > sunset > retired`: brackets around the step that is asked for, parentheses around
/// another one that is in force.
fn steps(m: &ModuleView) -> Line {
    let mut line = Line::default();
    for (at, stage) in Stage::ALL.iter().map(|stage| stage.as_str()).enumerate() {
        if at > 0 {
            line = line.with(Tone::Faint, " > ");
        }
        line = if stage == m.stage_requested {
            line.with(Tone::Strong, format!("[{stage}]"))
        } else if stage == m.stage_effective {
            line.with(Tone::Bad, format!("({stage})"))
        } else {
            line.with(Tone::Faint, stage)
        };
    }
    line
}

fn asked_for(m: &ModuleView) -> Line {
    let stage = Line::of(Tone::Strong, &m.stage_requested);
    if m.changed_by.is_empty() {
        return fact(
            "asked for",
            stage.with(Tone::Plain, ", where modules begin"),
        );
    }
    let by = format!(" {}", by(&m.changed_by, m.changed_at.as_ref(), &m.reason));
    fact("asked for", stage.with(Tone::Plain, by))
}

fn in_force(m: &ModuleView) -> Line {
    let mut line = words::effective(m);
    let tripped = m.guard.iter().filter(|guard| guard.state == "tripped");
    for guard in tripped.filter(|guard| !guard.is_nobodys()) {
        let since = words::time_or_nothing(guard.since.as_ref());
        line = line.with(Tone::Plain, format!(", {} since {since}", guard.target));
    }
    if line == words::effective(m) && !m.is_held_down() {
        line = line.with(Tone::Plain, ", as asked for");
    }
    fact("in force", line)
}

fn end(m: &ModuleView) -> String {
    let at = m.ends_at.as_ref().map(|at| words::time(at));
    let brownouts = (!m.brownouts.is_empty()).then(|| {
        let times = m.brownouts.join(", ");
        format!("brown-outs {times}")
    });
    let block = (!m.block.is_empty()).then(|| format!("blocked {}", m.block.join(" ")));
    let parts = [at, brownouts, block].into_iter().flatten();
    parts.collect::<Vec<_>>().join("; ")
}
