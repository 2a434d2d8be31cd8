//! Every verdict of every check, from a table: what differs from facts that pass, and what is said then.

mod ramp;
mod retired;
mod sunset;

use std::time::Duration;

use super::{Check, Gate, Verdict};
use crate::{
    config::gates::Gates,
    domain::{Micros, Stage},
};

use Verdict::{Fail, NotEnoughData, Pass};

/// Check, verdict, a part of what it says, and what is so.
type Row<F> = (&'static str, Verdict, &'static str, fn(&mut F, &mut Gates));

const NOW: i64 = 1_800_000_000_000_000;
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn ago(span: Duration) -> Micros {
    Micros::new(NOW).minus(span)
}

/// Each row is what is judged of facts that pass but for what the row changes, and each check has a row for each verdict that it can give.
#[track_caller]
fn hold<F>(
    rows: &[Row<F>],
    passing: fn() -> F,
    judge: fn(&F, &Gates) -> Vec<Check>,
    possible: impl Fn(&str) -> &'static [Verdict],
) {
    for (name, verdict, said, change) in rows {
        let (mut facts, mut settings) = (passing(), Gates::default());
        change(&mut facts, &mut settings);
        expect(&judge(&facts, &settings), name, *verdict, said);
    }
    let all = judge(&passing(), &Gates::default());
    let told = rows.iter().map(|(name, verdict, ..)| (*name, *verdict));
    covered(&all, &told.collect::<Vec<_>>(), possible);
}

/// Of all checks this one says so, and whoever else does not pass has its reason in the same change.
#[track_caller]
fn expect(checks: &[Check], name: &str, verdict: Verdict, said: &str) {
    let check = checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(check.verdict, verdict, "{check}");
    assert!(check.detail.contains(said), "{check}: not {said:?}");
    let known = check.measured.is_some();
    assert!(known || verdict == NotEnoughData, "{check}: no figure");
}

/// Each check has a row for each verdict that it can give, and no others.
#[track_caller]
fn covered(
    checks: &[Check],
    rows: &[(&str, Verdict)],
    possible: impl Fn(&str) -> &'static [Verdict],
) {
    for check in checks {
        assert_eq!(check.verdict, Pass, "{check}");
        for verdict in [Pass, Fail, NotEnoughData] {
            let told = rows.contains(&(check.name, verdict));
            let expected = possible(check.name).contains(&verdict);
            assert_eq!(told, expected, "{} {verdict:?}", check.name);
        }
    }
}

#[test]
fn a_gate_is_as_good_as_its_worst_check() {
    let gate = |verdicts: &[Verdict]| {
        let check = |verdict: &Verdict| Check::new("c", 0.0, "u").says(*verdict, "d");
        Gate {
            step: Stage::Ramp,
            checks: verdicts.iter().map(check).collect(),
            caveats: Vec::new(),
        }
        .verdict()
    };
    assert_eq!(gate(&[Pass, Pass]), Pass);
    assert_eq!(gate(&[Pass, NotEnoughData, Pass]), NotEnoughData);
    assert_eq!(gate(&[NotEnoughData, Fail, Pass]), Fail);
    assert_eq!(gate(&[]), NotEnoughData, "nothing asked is nothing known");
}
