//! `POST /admin/v1/modules/{module}/gates`: may it take the next step? For operators, and for delivery tools that wait for a yes.
//!
//! Invariant: whoever asks at whichever replica gets the same answer, since all of it comes from the database; asking changes nothing.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{PrivateState, database_problem, known_module, moment::rfc3339, query::QueryOf};
use crate::{
    cutover::{Check, Gate, Poller, Pollers},
    domain::{Invalid, Micros, ModuleName, Stage},
    http::{Problem, body::BodyOf, path::PathOf},
    store::StageRecord,
};

/// What is asked before a step forward.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gate)]
pub struct GateView {
    /// The stage that it leads to.
    #[schema(pattern = "^(ramp|sunset|retired)$")]
    step: &'static str,
    #[schema(pattern = "^(pass|fail|not-enough-data)$")]
    verdict: &'static str,
    checks: Vec<CheckView>,
    /// What stands in nobody's way and yet should be known: targets that keep clients from some of what they are told.
    caveats: Vec<String>,
}

/// One question of a gate.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckView {
    /// A stable word.
    name: &'static str,
    /// Of which target, if it is asked of each.
    target: Option<String>,
    /// What the measured value is held against: `[gates]`.
    threshold: f64,
    /// Absent where there is none.
    measured: Option<f64>,
    unit: &'static str,
    /// How much was looked at: reports, changes, clients, or minutes for what is counted over time.
    sample: u64,
    #[schema(pattern = "^(pass|fail|not-enough-data)$")]
    verdict: &'static str,
    /// The same in words.
    detail: String,
    /// Who still polls, where that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pollers: Option<PollersView>,
}

/// Who has polled of late.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pollers)]
pub struct PollersView {
    /// How many clients.
    clients: u64,
    /// Some of them, in the order of their ids.
    by_client: Vec<PollerClient>,
    /// How many programs.
    agents: u64,
    /// Some of them, those of most clients first.
    by_agent: Vec<PollerAgent>,
}

/// A client that polls.
#[derive(Debug, Serialize, ToSchema)]
pub struct PollerClient {
    client: String,
    agent: Option<String>,
    #[schema(format = DateTime)]
    last_seen: String,
}

/// A program that clients poll with.
#[derive(Debug, Serialize, ToSchema)]
pub struct PollerAgent {
    /// Empty if they say nothing.
    agent: String,
    clients: u64,
    #[schema(format = DateTime)]
    last_seen: String,
}

/// What was overridden to come to a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Forced)]
pub struct ForcedView {
    /// The step that it was for.
    step: &'static str,
    by: String,
    /// Absent in a dry run.
    #[schema(format = DateTime)]
    at: Option<String>,
    reason: String,
    /// Which checks did not pass then.
    checks: Vec<String>,
}

impl GateView {
    pub(super) fn new(gate: &Gate) -> Self {
        Self {
            step: gate.step.as_str(),
            verdict: gate.verdict().as_str(),
            checks: gate.checks.iter().map(CheckView::new).collect(),
            caveats: gate.caveats.clone(),
        }
    }
}

impl CheckView {
    fn new(check: &Check) -> Self {
        Self {
            name: check.name,
            target: check.target.clone(),
            threshold: check.threshold,
            measured: check.measured,
            unit: check.unit,
            sample: check.sample,
            verdict: check.verdict.as_str(),
            detail: check.detail.clone(),
            pollers: check.pollers.as_ref().map(PollersView::new),
        }
    }
}

impl PollersView {
    fn new(pollers: &Pollers) -> Self {
        let client = |one: &Poller| PollerClient {
            client: one.name.clone(),
            agent: one.agent.clone(),
            last_seen: rfc3339(one.last_seen),
        };
        let agent = |one: &Poller| PollerAgent {
            agent: one.name.clone(),
            clients: one.clients,
            last_seen: rfc3339(one.last_seen),
        };
        Self {
            clients: pollers.clients,
            by_client: pollers.by_client.iter().map(client).collect(),
            agents: pollers.agents,
            by_agent: pollers.by_agent.iter().map(agent).collect(),
        }
    }
}

impl ForcedView {
    /// `None` if nothing was overridden.
    pub(super) fn new(record: &StageRecord) -> Option<Self> {
        let forced = record.entered.forced.as_ref()?;
        Some(Self {
            step: forced.step.as_str(),
            by: forced.by.clone(),
            at: (record.entered.at > Micros::default()).then(|| rfc3339(record.entered.at)),
            reason: forced.reason.clone(),
            checks: forced.checks.clone(),
        })
    }
}

/// Which gate. Members of others, such as Flagger's, mean nothing here.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"step": "ramp"}))]
pub struct GatesBody {
    /// The stage that the step leads to; absent = the next one of the module.
    #[schema(pattern = "^(ramp|sunset|retired)$")]
    step: Option<String>,
    /// Where Flagger puts what its own configuration says; a `step` is looked for there too.
    #[serde(default)]
    #[schema(required = false)]
    metadata: GatesMetadata,
}

/// What a webhook's configuration says.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct GatesMetadata {
    /// As above.
    #[schema(pattern = "^(ramp|sunset|retired)$")]
    step: Option<String>,
}

/// How the answer is to be told.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GatesQuery {
    /// `status`: anything but a pass is 409, for tools that look at nothing else. Absent: 200 in any case.
    #[serde(default)]
    #[param(required = false, inline)]
    verdict: Told,
}

/// Where a verdict is told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// In the body alone.
    #[default]
    Body,
    /// In the status too.
    Status,
}

/// Whether a module may take a step.
#[derive(Debug, Serialize, ToSchema)]
pub struct GateAnswer {
    #[schema(value_type = String)]
    module: ModuleName,
    /// Where it is.
    stage: &'static str,
    /// The stage that the step leads to.
    #[schema(pattern = "^(ramp|sunset|retired)$")]
    step: &'static str,
    /// The one answer: whether all checks pass.
    passed: bool,
    #[schema(pattern = "^(pass|fail|not-enough-data)$")]
    verdict: &'static str,
    /// Whether the step would be refused otherwise: `gates.enforce`.
    enforced: bool,
    checks: Vec<CheckView>,
    /// What stands in nobody's way and yet should be known: targets that keep clients from some of what they are told.
    caveats: Vec<String>,
}

/// Asks the gate of a step, as web metrics and webhooks of delivery tools do.
#[utoipa::path(
    post, path = "/admin/v1/modules/{module}/gates", operation_id = "askGate", tag = "Cutover",
    params(
        ("module" = String, Path, description = "a configured module"),
        GatesQuery,
    ),
    request_body = GatesBody,
    responses(
        (status = 200, description = "what it says", body = GateAnswer),
        (status = 400, description = "the query or the body is not as it should be"),
        (status = 404, description = "no such module"),
        (status = 409, description = "there is no gate before that stage; with `verdict=status` also: it does not pass, and the member `gate` says why"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn ask(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    QueryOf(query): QueryOf<GatesQuery>,
    body: Result<BodyOf<GatesBody>, Problem>,
) -> Result<Json<GateAnswer>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let BodyOf(body) = body?;
    let record = latest(&state, &module).await?;
    let step = step(&body, &record)?;
    let gate = state.gatekeeper.looked_at(step, &record).await;
    let gate = gate.map_err(|error| database_problem(&error))?;
    let gate = gate.ok_or_else(|| none_before(step))?;
    if query.verdict == Told::Status && !gate.passes() {
        return Err(not_passed(&gate, gate.to_string()));
    }
    let answer = GateAnswer {
        module,
        stage: record.stage.as_str(),
        step: step.as_str(),
        passed: gate.passes(),
        verdict: gate.verdict().as_str(),
        enforced: state.gatekeeper.enforces(),
        checks: GateView::new(&gate).checks,
        caveats: gate.caveats,
    };
    Ok(Json(answer))
}

/// The record as the database has it: another replica may have acted a moment ago. Of one that nobody can read, no gate says anything.
async fn latest(state: &PrivateState, module: &ModuleName) -> Result<StageRecord, Problem> {
    let read = state.store.read_stages().await;
    let read = read.map_err(|error| database_problem(&error))?;
    state.flags.adopt(&read.records);
    if let Some(error) = read.why_not(module) {
        return Err(database_problem(&error));
    }
    let record = state.flags.record(module);
    let record = record.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "the module is gone"))?;
    Ok(StageRecord::clone(&record))
}

fn step(body: &GatesBody, record: &StageRecord) -> Result<Stage, Problem> {
    let asked = body.step.as_deref().or(body.metadata.step.as_deref());
    if let Some(asked) = asked {
        let step = asked.parse();
        return step.map_err(|why: Invalid| {
            Problem::new(StatusCode::BAD_REQUEST, format!("step: {}", why.why))
        });
    }
    record.stage.next().ok_or_else(|| {
        let (module, stage) = (&record.module, record.stage);
        let detail = format!("{module} is at {stage}: there is no step forward to ask about");
        Problem::new(StatusCode::CONFLICT, detail)
    })
}

/// A gate that does not pass, with its figures for programs.
pub(super) fn not_passed(gate: &Gate, detail: String) -> Problem {
    let figures = serde_json::to_value(GateView::new(gate)).unwrap_or_default();
    Problem::new(StatusCode::CONFLICT, detail).member("gate", figures)
}

fn none_before(step: Stage) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        format!("there is no gate before {step}: gates are before ramp, sunset and retired"),
    )
}
