//! The ladder, cell by cell: which stage an act leads to from which, and what it is refused with.

use changeover::{
    cutover::{Ladder, Recut, Replan, Step},
    domain::{BasisPoints, Cohort, End, Micros, Routing, Stage},
    store::{Entered, Forced, StageRecord},
};

/// A line for each act, a column for each stage: where it leads, or why not.
const WITH_UPSTREAM: &str = "\
                  | proxy            | shadow        | mirror        | ramp           | sunset         | retired
promote           | shadow           | mirror        | ramp          | sunset         | unconfirmed    | at the end
promote confirmed | confirms no      | confirms no   | confirms no   | confirms no    | retired        | at the end
promote misspelt  | confirms no      | confirms no   | confirms no   | confirms no    | unconfirmed    | at the end
ramp              | not at ramp      | not at ramp   | ramp 20       | ramp 20        | not at ramp    | not at ramp
sunset            | not at sunset    | not at sunset | not at sunset | sunset planned | sunset planned | not at sunset
rollback          | at the beginning | proxy         | shadow        | mirror         | ramp           | sunset
rollback proxy    | not before       | proxy         | proxy         | proxy          | proxy          | proxy
rollback shadow   | not before       | not before    | shadow        | shadow         | shadow         | shadow
rollback mirror   | not before       | not before    | not before    | mirror         | mirror         | mirror
rollback ramp     | not before       | not before    | not before    | not before     | ramp           | ramp
rollback sunset   | not before       | not before    | not before    | not before     | not before     | sunset
rollback retired  | not before       | not before    | not before    | not before     | not before     | not before
pause             | proxy paused     | shadow paused | mirror paused | ramp paused    | sunset paused  | retired paused
resume            | proxy            | shadow        | mirror        | ramp           | sunset         | retired
";

/// Records at `proxy` and `shadow` are of modules that have lost their upstream.
const WITHOUT_UPSTREAM: &str = "\
                  | proxy            | shadow           | mirror           | ramp           | sunset         | retired
promote           | mirror           | mirror           | ramp             | sunset         | unconfirmed    | at the end
promote confirmed | confirms no      | confirms no      | confirms no      | confirms no    | retired        | at the end
promote misspelt  | confirms no      | confirms no      | confirms no      | confirms no    | unconfirmed    | at the end
ramp              | not at ramp      | not at ramp      | ramp 20          | ramp 20        | not at ramp    | not at ramp
sunset            | not at sunset    | not at sunset    | not at sunset    | sunset planned | sunset planned | not at sunset
rollback          | at the beginning | at the beginning | at the beginning | mirror         | ramp           | sunset
rollback proxy    | no upstream      | no upstream      | no upstream      | no upstream    | no upstream    | no upstream
rollback shadow   | no upstream      | no upstream      | no upstream      | no upstream    | no upstream    | no upstream
rollback mirror   | not before       | not before       | not before       | mirror         | mirror         | mirror
rollback ramp     | not before       | not before       | not before       | not before     | ramp           | ramp
rollback sunset   | not before       | not before       | not before       | not before     | not before     | sunset
rollback retired  | not before       | not before       | not before       | not before     | not before     | not before
pause             | proxy paused     | shadow paused    | mirror paused    | ramp paused    | sunset paused  | retired paused
resume            | proxy            | shadow           | mirror           | ramp           | sunset         | retired
";

/// Under a pause nothing goes forward, and everything goes back as without one.
const FROZEN: [&str; 5] = [
    "promote",
    "promote confirmed",
    "promote misspelt",
    "ramp",
    "sunset",
];

#[test]
fn every_cell_is_as_the_table_says() {
    let mut cells = 0;
    for (ladder, table) in [
        (Ladder::WITH_UPSTREAM, WITH_UPSTREAM),
        (Ladder::WITHOUT_UPSTREAM, WITHOUT_UPSTREAM),
    ] {
        for row in table.lines().skip(1) {
            let mut columns = row.split('|').map(str::trim);
            let act = columns.next().unwrap();
            let expected: Vec<_> = columns.collect();
            assert_eq!(expected.len(), Stage::ALL.len(), "{row}");
            for (stage, expected) in Stage::ALL.into_iter().zip(expected) {
                let found = outcome(act, &record(stage, false), ladder);
                assert_eq!(found, expected, "{act} at {stage} on {ladder:?}");
                let found = outcome(act, &record(stage, true), ladder);
                let expected = under_a_pause(act, expected);
                assert_eq!(found, expected, "{act} at {stage}, paused, on {ladder:?}");
                cells += 2;
            }
        }
    }
    assert_eq!(cells, 2 * 2 * 14 * 6);
}

fn under_a_pause(act: &str, else_it_is: &str) -> String {
    match act {
        _ if FROZEN.contains(&act) => "paused".to_owned(),
        "pause" | "resume" => else_it_is.to_owned(),
        _ if else_it_is.parse::<Stage>().is_ok() => format!("{else_it_is} paused"),
        _ => else_it_is.to_owned(),
    }
}

/// No act but a ramp changes the cohort, none but a sunset the end, and none of these the routing.
fn outcome(act: &str, before: &StageRecord, ladder: Ladder) -> String {
    let step = step(act);
    match step.apply(before, ladder) {
        Ok(after) => {
            let mut said = after.stage.to_string();
            if after.cohort != before.cohort {
                said = format!("{said} {}", after.cohort.basis_points);
            }
            if after.paused {
                said.push_str(" paused");
            }
            if after.ending != before.ending {
                said.push_str(" planned");
            }
            let came = if after.stage == before.stage {
                entered()
            } else {
                Entered::default()
            };
            assert_eq!(
                after.entered, came,
                "{act}: what was overridden is of its stage"
            );
            let same = StageRecord {
                stage: before.stage,
                cohort: before.cohort.clone(),
                paused: before.paused,
                ending: before.ending.clone(),
                entered: before.entered.clone(),
                ..after
            };
            assert_eq!(&same, before, "{act} changes nothing else");
            said
        }
        Err(blocked) => {
            let said = blocked.to_string();
            assert!(
                said.starts_with("commission ") || said.starts_with("the ladder of commission"),
                "{said}"
            );
            WHY.into_iter()
                .find(|(text, _)| said.contains(text))
                .unwrap_or_else(|| panic!("{said}"))
                .1
                .to_owned()
        }
    }
}

const WHY: [(&str, &str); 9] = [
    ("the end of its polls is planned", "not at sunset"),
    ("is paused: resume it first", "paused"),
    ("there is no stage after it", "at the end"),
    ("there is no stage before it", "at the beginning"),
    ("a cohort is set at ramp", "not at ramp"),
    ("is not before it", "not before"),
    ("has no upstream", "no upstream"),
    ("say its name again to confirm", "unconfirmed"),
    ("takes no confirmation", "confirms no"),
];

fn step(act: &str) -> Step {
    let confirm = |name: &str| Step::Promote {
        confirm: Some(name.to_owned()),
    };
    match act.split_once(' ') {
        None => match act {
            "promote" => Step::Promote { confirm: None },
            "ramp" => Step::Ramp(Recut::share(BasisPoints::new(2_000).unwrap())),
            "sunset" => Step::Sunset(Replan {
                at: Some(Micros::new(1)),
                ..Replan::default()
            }),
            "rollback" => Step::Rollback(None),
            "pause" => Step::Pause,
            "resume" => Step::Resume,
            other => panic!("{other}"),
        },
        Some(("promote", "confirmed")) => confirm("commission"),
        Some(("promote", "misspelt")) => confirm("comission"),
        Some(("rollback", to)) => Step::Rollback(Some(to.parse().unwrap())),
        Some(other) => panic!("{other:?}"),
    }
}

/// How each record came to its stage, whichever that is.
fn entered() -> Entered {
    Entered {
        at: Micros::new(5),
        forced: Some(Forced {
            step: Stage::Ramp,
            by: "ann".to_owned(),
            reason: "r".to_owned(),
            checks: vec!["lag@local".to_owned()],
        }),
    }
}

fn record(stage: Stage, paused: bool) -> StageRecord {
    StageRecord {
        module: "commission".parse().unwrap(),
        stage,
        cohort: Cohort::share(BasisPoints::new(1_000).unwrap()),
        routing: Routing::default(),
        ending: End::default(),
        paused,
        version: 7,
        changed_by: "ann".to_owned(),
        changed_at: Micros::new(1),
        reason: "r".to_owned(),
        entered: entered(),
    }
}
