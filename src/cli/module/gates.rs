//! `changeover module gates M`: may the module take the next step? The exit code says so to scripts.

use clap::Args;
use serde_json::{Value, json};

use super::reading::Reading;
use crate::{
    cli::{
        Failure, Globals,
        actor::Actor,
        output::{cell, columns},
    },
    domain::{ModuleName, Stage},
};

/// What a gate is asked with.
#[derive(Debug, Clone, Args)]
pub struct Gates {
    /// Its name.
    module: ModuleName,
    /// The stage that the step leads to; without it, the next one of the module.
    #[arg(long, value_name = "STAGE")]
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
        self.reading.output.print(&answer, table)?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        match answer.get("verdict").and_then(Value::as_str) {
            Some("pass") => Ok(()),
            Some("not-enough-data") => Err(Failure::NotPassed { failed: false }),
            _ => Err(Failure::NotPassed { failed: true }),
        }
    }
}

/// The step, then its checks, a line each.
pub(in crate::cli) fn table(answer: &Value) -> String {
    let (module, verdict) = (cell(answer, "module"), cell(answer, "verdict"));
    let (stage, step) = (cell(answer, "stage"), cell(answer, "step"));
    let enforced = match answer.get("enforced") {
        Some(Value::Bool(false)) => " (not enforced)",
        _ => "",
    };
    let checks = checks(answer);
    format!("{module}: {stage} -> {step}: {verdict}{enforced}\n\n{checks}")
}

/// The checks of a gate.
pub(in crate::cli) fn checks(gate: &Value) -> String {
    let heads = [
        "CHECK",
        "TARGET",
        "VERDICT",
        "MEASURED",
        "THRESHOLD",
        "SAMPLE",
        "DETAIL",
    ];
    let row = |check: &Value| {
        let unit = cell(check, "unit");
        vec![
            cell(check, "name"),
            cell(check, "target"),
            cell(check, "verdict"),
            number(check, "measured"),
            format!("{} {unit}", number(check, "threshold")),
            cell(check, "sample"),
            cell(check, "detail"),
        ]
    };
    let checks = gate.get("checks").and_then(Value::as_array);
    let rows: Vec<_> = checks
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .map(row)
        .collect();
    columns(&heads, &rows)
}

/// `95`, not `95.0`.
fn number(check: &Value, member: &str) -> String {
    let number = check.get(member).and_then(Value::as_f64);
    number.map_or_else(|| cell(check, member), |number| number.to_string())
}
