//! What `changeover savings` shows: a table where it fits, and where it does not a paragraph for each module, so that no figure is cut.
//!
//! Invariant: what is not known is shown as `?`, never as a figure.

use serde_json::Value;

use super::{
    output::{cell, line},
    screen::{Column, Line, Table, Tone, folded},
};

/// Modules, all of them together, what could be smaller, and what all that assumes, in at most `width` columns if no word is wider.
pub(super) fn savings(answer: &Value, width: Option<usize>) -> Vec<Line> {
    let currency = answer.get("currency").and_then(Value::as_str);
    let all = answer.get("overall").map(Row::overall);
    let rows: Vec<_> = list(answer, "modules")
        .map(Row::module)
        .chain(all)
        .collect();
    let unused = list(answer, "unused").map(|one| cell(one, "text"));
    let sections = [
        ("", figures(&rows, currency, width)),
        (
            "",
            wrapped(
                gateways(answer)
                    .chain(left_out(answer))
                    .chain(notes(answer)),
                width,
            ),
        ),
        ("unused:", indented(unused, width)),
        (
            "could be smaller:",
            indented(lines(answer, "shrink"), width),
        ),
        ("assumed:", indented(lines(answer, "assumptions"), width)),
    ];
    let told = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
    let told = told.map(|(head, lines)| {
        let head = (!head.is_empty()).then(|| Line::of(Tone::Strong, head));
        head.into_iter().chain(lines).collect::<Vec<_>>()
    });
    told.collect::<Vec<_>>().join(&Line::default())
}

/// What stands where nothing is known.
const UNKNOWN: &str = "?";

/// Before and now of a module, or of all of them, as they are shown.
struct Row {
    name: String,
    stage: Option<String>,
    requests: [String; 2],
    statements: [String; 2],
    pushed: String,
    money: [String; 2],
    saved: String,
}

impl Row {
    fn module(one: &Value) -> Self {
        let costs = [at(one, &["before", "cost"]), at(one, &["now", "cost"])];
        let stage = Some(cell(one, "stage"));
        Self::of(cell(one, "module"), stage, costs, one)
    }

    fn overall(all: &Value) -> Self {
        let costs = [at(all, &["before"]), at(all, &["now"])];
        Self::of("all".to_owned(), None, costs, all)
    }

    fn of(name: String, stage: Option<String>, costs: [Option<&Value>; 2], saved: &Value) -> Self {
        Self {
            name,
            stage,
            requests: costs.map(|cost| rate(cost, "requests_per_s")),
            statements: costs.map(|cost| rate(cost, "queries_per_s")),
            pushed: rate(costs[1], "messages_per_s"),
            money: costs.map(|cost| money(cost, "per_month")),
            saved: money(Some(saved), "saved_per_month"),
        }
    }

    fn cells(&self, with_money: bool) -> Vec<Line> {
        let stage = self.stage.as_deref().unwrap_or("-");
        let [requests, statements, money] = [&self.requests, &self.statements, &self.money];
        let mut cells = vec![self.name.as_str(), stage];
        cells.extend(requests.iter().chain(statements).map(String::as_str));
        cells.push(&self.pushed);
        if with_money {
            cells.extend(money.iter().map(String::as_str));
            cells.push(&self.saved);
        }
        cells.into_iter().map(Line::plain).collect()
    }

    fn paragraph(&self, currency: Option<&str>) -> Vec<Line> {
        let stage = self
            .stage
            .as_ref()
            .map_or_else(String::new, |stage| format!(", {stage}"));
        let change = |[before, now]: &[String; 2]| format!("{before} -> {now}");
        let fact = |name: &str, what: String| Line::plain(format!("  {name:<12}{what}"));
        let mut lines = vec![
            Line::of(Tone::Strong, &self.name).with(Tone::Plain, stage),
            fact("requests/s", change(&self.requests)),
            fact("SQL/s", change(&self.statements)),
            fact("pushed/s", self.pushed.clone()),
        ];
        if let Some(currency) = currency {
            lines.push(fact(&per_month(currency, "month"), change(&self.money)));
            lines.push(fact("saved", self.saved.clone()));
        }
        lines
    }
}

fn figures(rows: &[Row], currency: Option<&str>, width: Option<usize>) -> Vec<Line> {
    let month = per_month(currency.unwrap_or_default(), "MONTH");
    let mut columns = vec![
        Column::needed("MODULE"),
        Column::spare("STAGE", 1),
        Column::needed("REQ/S BEFORE"),
        Column::needed("NOW"),
        Column::needed("SQL/S BEFORE"),
        Column::needed("NOW"),
        Column::spare("PUSHED/S", 2),
    ];
    if currency.is_some() {
        columns.extend([month.as_str(), "NOW", "SAVED"].map(Column::needed));
    }
    let columns: Vec<_> = columns.into_iter().map(Column::whole).collect();
    let cells = rows.iter().map(|row| row.cells(currency.is_some()));
    let table = Table::new(&columns, cells.collect());
    if width.is_none_or(|width| table.least_width() <= width) {
        return table.lines(width);
    }
    let paragraphs = rows.iter().map(|row| row.paragraph(currency));
    paragraphs.collect::<Vec<_>>().join(&Line::default())
}

fn per_month(currency: &str, month: &str) -> String {
    format!("{}/{month}", line(&Value::from(currency)))
}

/// What belongs to no module.
fn gateways(answer: &Value) -> impl Iterator<Item = String> {
    let gateways = at(answer, &["overall", "gateways"]).filter(|value| value.is_object());
    let line = |gateways| {
        format!(
            "for no module (sessions, flags, the gateways' own statements): {} requests/s, {} statements/s",
            rate(Some(gateways), "requests_per_s"),
            rate(Some(gateways), "queries_per_s")
        )
    };
    gateways.map(line).into_iter()
}

/// The modules that are not among all.
fn left_out(answer: &Value) -> impl Iterator<Item = String> {
    let left =
        at(answer, &["overall"]).map_or_else(Vec::new, |all| lines(all, "left_out").collect());
    let line = format!(
        "all: without {}, of which not everything is known",
        left.join(", ")
    );
    (!left.is_empty()).then_some(line).into_iter()
}

/// What is to be known of single modules.
fn notes(answer: &Value) -> impl Iterator<Item = String> {
    list(answer, "modules").flat_map(|one| {
        let module = cell(one, "module");
        lines(one, "notes").map(move |note| format!("{module}: {note}"))
    })
}

fn wrapped(texts: impl Iterator<Item = String>, width: Option<usize>) -> Vec<Line> {
    folded(texts.map(Line::plain), width, 2)
}

fn indented(texts: impl Iterator<Item = String>, width: Option<usize>) -> Vec<Line> {
    let indent = |text| Line::plain(format!("  {text}"));
    folded(texts.map(indent), width, 4)
}

fn rate(cost: Option<&Value>, name: &str) -> String {
    let rate = cost.and_then(|cost| cost.get(name)?.as_f64());
    rate.map_or_else(|| UNKNOWN.to_owned(), figure)
}

/// Three digits or more, and never none of what is not nothing.
fn figure(rate: f64) -> String {
    let decimals = match rate {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{rate:.decimals$}");
    match text.split_once('.') {
        Some(_) if rate > 0.0 && rate < 0.0005 => "<0.001".to_owned(),
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

fn money(of: Option<&Value>, name: &str) -> String {
    let amount = of.and_then(|of| of.get(name)?.as_f64());
    amount.map_or_else(|| UNKNOWN.to_owned(), |amount| format!("{amount:.2}"))
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn lines(value: &Value, member: &str) -> impl Iterator<Item = String> {
    list(value, member).map(line)
}

fn list<'v>(value: &'v Value, member: &str) -> std::slice::Iter<'v, Value> {
    let list = value.get(member).and_then(Value::as_array);
    list.map_or(&[][..], Vec::as_slice).iter()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn cost(requests: f64, statements: f64, messages: f64, per_month: f64) -> Value {
        json!({"requests_per_s": requests, "queries_per_s": statements, "messages_per_s": messages, "per_month": per_month})
    }

    fn answer() -> Value {
        json!({
            "currency": "EUR",
            "modules": [
                {"module": "commission", "stage": "ramp", "notes": [], "saved_per_month": 673.23,
                    "before": {"cost": cost(40.0, 120.0, 0.0, 736.34)}, "now": {"cost": cost(2.0, 1.0, 5.0, 63.12)}},
                {"module": "notices", "stage": "mirror", "notes": ["now: not known, nothing was counted in these days"],
                    "saved_per_month": null, "before": {"cost": cost(7.5, 22.5, 0.0, 138.06)}, "now": {"cost": null}},
            ],
            "overall": {"before": cost(40.0, 120.0, 0.0, 736.34), "now": cost(2.0, 8.0, 5.0, 99.93),
                "gateways": cost(0.0, 0.0002, 0.0, 36.82), "saved_per_month": 1436.41, "left_out": ["notices"]},
            "unused": [], "shrink": [],
            "assumptions": ["one poll was 3 SQL statements in the backend of before, unless [modules.savings] says otherwise (savings.sql_per_poll)"],
        })
    }

    fn shown(answer: &Value, width: Option<usize>) -> String {
        let lines = savings(answer, width);
        if let Some(width) = width {
            assert!(lines.iter().all(|line| line.width() <= width), "too wide");
        }
        let lines = lines.iter().map(|line| line.written(false));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn figures_are_a_table_where_they_fit_and_paragraphs_where_they_do_not() {
        let answer = answer();
        assert_snapshot!("savings_in_a_pipe", shown(&answer, None));
        assert_snapshot!("savings_120", shown(&answer, Some(120)));
        assert_snapshot!("savings_80", shown(&answer, Some(80)));
        assert_snapshot!("savings_40", shown(&answer, Some(40)));
    }

    #[test]
    fn what_nobody_has_counted_is_no_figure() {
        let nothing = json!({
            "currency": null,
            "modules": [{"module": "commission", "stage": "mirror", "notes": [], "saved_per_month": null,
                "before": {"cost": null}, "now": {"cost": null}}],
            "overall": {"before": null, "now": null, "gateways": null, "saved_per_month": null, "left_out": ["commission"]},
        });
        assert_snapshot!("savings_of_nothing", shown(&nothing, Some(80)));
    }

    #[test]
    fn a_small_rate_is_not_nothing() {
        assert_eq!(
            [0.0, 0.0001, 0.0123, 0.5, 7.25, 40.0, 1234.5].map(figure),
            ["0", "<0.001", "0.012", "0.5", "7.25", "40", "1234"]
        );
    }
}
