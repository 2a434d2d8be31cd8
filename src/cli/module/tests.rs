//! What the commands show of the admin API's JSON, at the widths of narrow and of wide terminals.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;

use super::{
    gates, history, list_table,
    page::Page,
    rates::History,
    view::{Entry, FromMemory, ModuleView},
};
use crate::cli::screen::Line;

fn shown(lines: &[Line], width: Option<usize>) -> String {
    if let Some(width) = width {
        assert!(lines.iter().all(|line| line.width() <= width), "too wide");
    }
    let lines = lines.iter().map(|line| line.written(false));
    lines.collect::<Vec<_>>().join("\n")
}

/// At `ramp`, all well, with everything that a gateway can say.
fn well() -> ModuleView {
    ModuleView::parse(include_str!("samples/well.json")).unwrap()
}

/// At `ramp`, forced there, and held down by the guard and a panic.
fn ill() -> ModuleView {
    ModuleView::parse(include_str!("samples/ill.json")).unwrap()
}

/// What a gateway says that knows nothing of guards, gates and censuses.
fn little() -> ModuleView {
    let answer = json!({"module": "价格-一览表", "stage_requested": "mirror", "stage_effective": "mirror", "percent": 0, "version": 0,
        "changed_by": "", "head": 3, "epoch": 1, "retained_from": 1, "lease_holder": null, "targets": [],
        "of_another_version": {"is": "passed over"}});
    ModuleView::parse(&answer.to_string()).unwrap()
}

fn acts() -> Vec<Entry> {
    let record = |stage, points| json!({"stage": stage, "cohort": {"basis_points": points}, "paused": false});
    let forced = |mut record: serde_json::Value| {
        record["forced"] = json!({"step": "ramp", "by": "bob", "reason": "edge first", "checks": ["lag local", "verified-time local"]});
        record
    };
    let entries = json!([
        {"id": 9, "at": "2030-01-01T08:00:00.123456Z", "actor": "ada", "action": "ramp", "reason": "a week without a fall-back",
            "before": record("ramp", 500), "after": record("ramp", 2500)},
        {"id": 8, "at": "2029-12-24T09:30:00Z", "actor": "guard", "action": "guard-trip", "reason": "lag of 31 s",
            "before": {"state": "watching", "target": "local"}, "after": {"state": "tripped", "target": "local", "cause": "lag"}},
        {"id": 7, "at": "2029-12-24T08:05:00Z", "actor": "bob", "action": "ramp", "reason": "a little more",
            "before": forced(record("ramp", 100)), "after": forced(record("ramp", 500))},
        {"id": 6, "at": "2029-12-24T08:00:00Z", "actor": "bob", "action": "ramp", "reason": "edge first",
            "before": record("mirror", 0), "after": forced(record("ramp", 100))},
    ]);
    serde_json::from_value(entries).unwrap()
}

#[test]
fn a_list_of_modules_keeps_what_matters_where_there_is_little_room() {
    let modules = [well(), ill(), little()];
    let list = |width| shown(&list_table::lines(&modules, width), width);
    assert_snapshot!("list_80", list(Some(80)));
    assert_snapshot!("list_120", list(Some(120)));
    assert_snapshot!("list_in_a_pipe", list(None));
    assert_eq!(list(Some(80)).lines().count(), 4);
}

#[test]
fn a_page_shows_a_module_with_everything_that_is_known() {
    let (well, ill, little) = (well(), ill(), little());
    let acts = acts();
    let page = |module: &ModuleView, acts: &[Entry], width| {
        let page = Page {
            module,
            acts,
            series: &[],
        };
        shown(&page.lines(Some(width)), Some(width))
    };
    assert_snapshot!("well_80", page(&well, &acts, 80));
    assert_snapshot!("well_120", page(&well, &acts, 120));
    assert_snapshot!("ill_80", page(&ill, &[], 80));
    assert_snapshot!("ill_120", page(&ill, &[], 120));
    assert_snapshot!("little_80", page(&little, &[], 80));
}

#[test]
fn what_a_gateway_remembers_is_marked_as_that() {
    let remembered = |mut module: ModuleView| {
        module.from_memory = Some(FromMemory {
            why: "the database does not answer".to_owned(),
            read_ms_ago: Some(83_000),
        });
        module.lease_holder = None;
        module.gate = None;
        module
    };
    let modules = [well(), ill()].map(remembered);
    let list = list_table::lines(&modules, Some(80));
    assert_snapshot!("remembered_list_80", shown(&list, Some(80)));
    let page = Page {
        module: &modules[0],
        acts: &[],
        series: &[],
    };
    for width in [80, 40] {
        let shown = shown(&page.lines(Some(width)), None);
        assert_snapshot!(format!("remembered_{width}"), shown);
    }
}

#[test]
fn a_watch_shows_rates_as_sparklines() {
    let mut module = well();
    let mut history = History::default();
    for second in 0..90_u64 {
        if second == 80 {
            history.saw_nothing();
            continue;
        }
        module.head += second % 9;
        module.targets[0].position += second % 5;
        if let Some(rates) = &mut module.rates {
            rates.polls = Some(if second < 85 { 3600.0 } else { 1800.0 });
        }
        history.saw(Duration::from_secs(second), &module);
    }
    let page = Page {
        module: &module,
        acts: &[],
        series: history.series(),
    };
    let shown = shown(&page.lines(Some(80)), Some(80));
    let rates = shown.lines().filter(|line| line.contains("/s "));
    assert_snapshot!("rates_80", rates.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_gate_names_who_still_polls() {
    let answer = json!({"module": "commission", "stage": "sunset", "step": "retired", "passed": false, "verdict": "fail",
        "enforced": false, "checks": [{"name": "pollers", "target": null, "threshold": 0.0, "measured": 12.0,
            "unit": "clients", "sample": 30, "verdict": "fail", "detail": "12 clients polled within 30 days", "pollers": {
            "clients": 12, "by_client": [{"client": "terminal-0007", "agent": "Terminal/1.9", "last_seen": "2030-01-01T08:00:00.5Z"},
                {"client": "terminal-0009", "agent": null, "last_seen": "2029-12-31T08:00:00Z"}],
            "agents": 2, "by_agent": [{"agent": "Terminal/1.9", "clients": 11, "last_seen": "2030-01-01T08:00:00.5Z"},
                {"agent": "", "clients": 1, "last_seen": "2029-12-31T08:00:00Z"}]}}]});
    let lines = gates::lines(&answer.to_string(), Some(80)).unwrap();
    assert_snapshot!("gate_80", shown(&lines, Some(80)));
}

#[test]
fn a_history_is_a_table_where_it_fits_and_paragraphs_where_it_does_not() {
    let acts = acts();
    assert_snapshot!(
        "history_130",
        shown(&history::lines(&acts, Some(130)), Some(130))
    );
    assert_snapshot!(
        "history_60",
        shown(&history::lines(&acts, Some(60)), Some(60))
    );
}
