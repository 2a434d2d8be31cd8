//! `changeover module gates M`: may the module take the next step? The exit code says so to scripts.

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{arguments::stage, page, reading::Reading, view::Gate, words};
use crate::{
    cli::{
        Failure, Globals,
        actor::Actor,
        screen::{Line, Tone},
    },
    domain::{ModuleName, Stage},
};

/// What a gate is asked with.
#[derive(Debug, Clone, Args)]
pub struct Gates {
    /// Its name.
    module: ModuleName,
    /// The stage that the step leads to; without it, the next one of the module.
    #[arg(long, value_name = "STAGE", value_parser = stage())]
    step: Option<Stage>,
    #[command(flatten)]
    reading: Reading,
}

impl Gates {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = self.reading.remote.client(globals)?;
        let body = match self.step {
            Some(step) => json!({"step": step.as_str()}),
            None => json!({}),
        };
        let path = ["admin", "v1", "modules", self.module.as_str(), "gates"];
        let answer = client.act(&path, &body, &Actor::nobody(), None).await?;
        self.reading.output.print_lines(&answer, lines)?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        match answer.get("verdict").and_then(Value::as_str) {
            Some("pass") => Ok(()),
            Some("not-enough-data") => Err(Failure::NotPassed { failed: false }),
            _ => Err(Failure::NotPassed { failed: true }),
        }
    }
}

/// What the gate answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    module: String,
    stage: String,
    enforced: Option<bool>,
    #[serde(flatten)]
    gate: Gate,
}

/// The step, then its checks, a line each, then who still polls.
pub(super) fn lines(answer: &str, width: Option<usize>) -> anyhow::Result<Vec<Line>> {
    let asked: Asked = serde_json::from_str(answer).context("the answer is no gate's")?;
    let Asked {
        module,
        stage,
        enforced,
        gate,
    } = asked;
    let enforced = match enforced {
        Some(false) => " (not enforced)",
        _ => "",
    };
    let head = Line::of(
        Tone::Strong,
        format!("{module}: {stage} -> {}: ", gate.step),
    )
    .with(words::verdict_tone(&gate.verdict), &gate.verdict)
    .with(Tone::Plain, enforced);
    let mut lines = vec![head, Line::default()];
    lines.extend(page::gate::checks(&gate, width));
    lines.extend(page::gate::caveats(&gate));
    for pollers in gate
        .checks
        .iter()
        .filter_map(|check| check.pollers.as_ref())
    {
        lines.push(Line::default());
        lines.extend(page::gate::pollers(pollers, width));
    }
    Ok(lines)
}
