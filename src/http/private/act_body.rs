//! What is asked of a module in the body of an act.
//!
//! Invariant: a member that means nothing to the act is refused, since whoever wrote it expects something else than what would happen.

use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::{
    cutover::{Move, Recut, Replan, Route, Step},
    domain::{BasisPoints, Invalid, Micros},
    http::Problem,
};

/// The body of an act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the gates are green"}))]
pub struct ActBody {
    /// Why: goes into the audit. Without control characters.
    #[schema(required = true, value_type = String, pattern = "\\S", max_length = 1024)]
    pub(super) reason: Option<String>,
    /// For `ramp`, which needs it unless there is a list: the share of clients that are told to push, to a hundredth of a percent.
    /// For `route`: the share that is told the target; absent = all.
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    percent: Option<serde_json::Number>,
    /// For `ramp`: who is told to push whatever the share, each as `client:ID`, `audience:NAME`, `agent:PATTERN` (with `*` for anything) or
    /// `network:ADDRESS/BITS`. The whole list; absent = as it was.
    #[schema(max_items = 200, example = json!(["client:terminal-0001", "network:10.1.0.0/16"]))]
    include: Option<Vec<String>>,
    /// For `ramp`: who is told to poll in any case, likewise.
    #[schema(max_items = 200)]
    exclude: Option<Vec<String>>,
    /// For `rollback`: an earlier stage; absent = the one before.
    #[schema(pattern = "^(proxy|shadow|mirror|ramp|sunset|retired)$")]
    to: Option<String>,
    /// For `sunset`: when the polls are to end; becomes the `Sunset` header. Absent = as it was.
    #[schema(format = DateTime, example = "2027-03-01T00:00:00Z")]
    at: Option<String>,
    /// For `sunset`: all times in which polls are refused, in UTC. Absent = as it was.
    #[schema(max_items = 20, example = json!(["tue 10:00-10:15", "2027-02-01 09:00-10:00"]))]
    brownouts: Option<Vec<String>>,
    /// For `sunset`: whose polls are refused already, as in `include`. The whole list; absent = as it was.
    #[schema(max_items = 200)]
    block: Option<Vec<String>>,
    /// For `sunset`: takes back all that was planned, before anything else.
    #[serde(default)]
    #[schema(required = false)]
    clear: bool,
    /// For `promote`: the module's name again. The step to `retired` needs it, no other step takes it.
    confirm: Option<String>,
    /// For a step forward: to take it although its gate does not pass. The audit says which checks were overridden, and the module shows it
    /// until it leaves that stage.
    #[serde(default)]
    #[schema(required = false)]
    pub(super) force: bool,
    /// For `route`, which needs it: the target that clients are told to connect to.
    target: Option<String>,
}

/// A number where the member is present: null is not nothing, and "all" would be the worst guess.
fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Number>, D::Error> {
    serde_json::Number::deserialize(deserializer).map(Some)
}

impl ActBody {
    /// What an act of this name would do.
    pub(super) fn asks_for(&self, act: &str) -> Result<Move, Problem> {
        if let Some(member) = self.stray_member(act) {
            return Err(bad(format!("{member}: means nothing to this act")));
        }
        Ok(Move::Step(match act {
            "promote" => Step::Promote {
                confirm: self.confirm.clone(),
            },
            "ramp" => Step::Ramp(self.recut()?),
            "sunset" => Step::Sunset(self.replan()?),
            "rollback" => {
                let to = self.to.as_deref().map(str::parse).transpose();
                Step::Rollback(to.map_err(|why: Invalid| bad(why.to_string()))?)
            }
            "pause" => Step::Pause,
            "resume" => Step::Resume,
            "route" => return Ok(Move::Route(self.route()?)),
            _ => {
                return Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "a module can be promoted, ramped, sunset, rolled back, paused, resumed and routed",
                ));
            }
        }))
    }

    /// Who says `"to": "retired"` with a promotion expects something else than what would happen.
    fn stray_member(&self, act: &str) -> Option<&'static str> {
        let members: [(_, _, &[&str]); 11] = [
            ("percent", self.percent.is_some(), &["ramp", "route"]),
            ("include", self.include.is_some(), &["ramp"]),
            ("exclude", self.exclude.is_some(), &["ramp"]),
            ("at", self.at.is_some(), &["sunset"]),
            ("brownouts", self.brownouts.is_some(), &["sunset"]),
            ("block", self.block.is_some(), &["sunset"]),
            ("clear", self.clear, &["sunset"]),
            ("to", self.to.is_some(), &["rollback"]),
            ("target", self.target.is_some(), &["route"]),
            ("confirm", self.confirm.is_some(), &["promote"]),
            ("force", self.force, &["promote", "ramp", "sunset"]),
        ];
        let mut members = members.into_iter();
        let stray = members.find(|(_, is_there, acts)| *is_there && !acts.contains(&act));
        stray.map(|(name, _, _)| name)
    }

    fn recut(&self) -> Result<Recut, Problem> {
        let recut = Recut {
            share: self.share()?,
            include: list("include", self.include.as_ref())?,
            exclude: list("exclude", self.exclude.as_ref())?,
        };
        if recut == Recut::default() {
            return Err(bad(
                "percent: is missing, and there is no list to change either",
            ));
        }
        Ok(recut)
    }

    fn replan(&self) -> Result<Replan, Problem> {
        let replan = Replan {
            clear: self.clear,
            at: self.at.as_deref().map(time).transpose()?,
            brownouts: list("brownouts", self.brownouts.as_ref())?,
            block: list("block", self.block.as_ref())?,
        };
        if replan == Replan::default() {
            return Err(bad(
                "at: is missing, and there is nothing else to plan or to clear",
            ));
        }
        Ok(replan)
    }

    fn route(&self) -> Result<Route, Problem> {
        let target = self.target.clone();
        Ok(Route {
            target: target.ok_or_else(|| bad("target: is missing"))?,
            share: self.share()?.unwrap_or(BasisPoints::ALL),
        })
    }

    fn share(&self) -> Result<Option<BasisPoints>, Problem> {
        let share = self.percent.as_ref();
        let share = share.map(|percent| percent.to_string().parse());
        share
            .transpose()
            .map_err(|why: Invalid| bad(why.to_string()))
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail.into())
}

fn time(text: &str) -> Result<Micros, Problem> {
    let time = humantime::parse_rfc3339(text).map(Micros::from);
    time.map_err(|_| {
        let text = text.escape_debug();
        bad(format!(
            "at: `{text}` must be a time in UTC such as 2027-03-01T00:00:00Z"
        ))
    })
}

/// A list of the body; a refusal names its member.
fn list<T>(name: &str, entries: Option<&Vec<String>>) -> Result<Option<T>, Problem>
where
    T: TryFrom<Vec<String>, Error = Invalid>,
{
    let list = entries.cloned().map(T::try_from).transpose();
    list.map_err(|invalid| bad(format!("{name}: {}", invalid.why)))
}
