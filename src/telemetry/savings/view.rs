//! The figures, as operators get them.

use serde::Serialize;
use utoipa::ToSchema;

use super::Cost;

/// What the gateway saves.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Savings {
    /// Over how many days `now` is taken.
    pub days: u32,
    /// In what money is; null without a price table.
    pub currency: Option<String>,
    /// What the figures assume.
    pub assumptions: Vec<String>,
    /// By module.
    pub modules: Vec<ModuleSavings>,
    /// All modules together.
    pub overall: Overall,
    /// The modules that nobody has asked for in that time.
    pub unused: Vec<Unused>,
    /// What could be smaller.
    pub shrink: Vec<String>,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModuleSavings {
    /// Its name.
    pub module: String,
    /// What engineers asked for.
    pub stage: String,
    /// What it cost while all its clients polled.
    pub before: Before,
    /// What it costs now.
    pub now: Now,
    /// How much less it costs a month; negative if it costs more. Null if one of the two is not known.
    pub saved_per_month: Option<f64>,
    /// What is to be known of these figures.
    pub notes: Vec<String>,
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `[modules.savings] requests_per_s`.
    Configured,
    /// It was counted here while the module was at `mirror`.
    Measured,
    /// Nobody knows.
    Unknown,
}

/// A module while all its clients polled.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Before {
    /// Where the number of polls comes from.
    pub source: Source,
    /// When the hours that were counted began.
    pub from: Option<String>,
    /// When they ended.
    pub to: Option<String>,
    /// How many hours were counted of that.
    pub counted_hours: f64,
    /// Polls a second in the hour that had most.
    pub busiest_requests_per_s: Option<f64>,
    /// Null if it is not known.
    pub cost: Option<Cost>,
}

/// A module in the last days.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Now {
    /// From when it was counted.
    pub from: Option<String>,
    /// To when.
    pub to: Option<String>,
    /// How many hours of that.
    pub counted_hours: f64,
    /// Requests a second in the hour that had most.
    pub busiest_requests_per_s: Option<f64>,
    /// What was counted.
    pub counted: Totals,
    /// When somebody last asked for it, in all hours that are kept.
    pub last_asked: Option<String>,
    /// Null if nothing was counted.
    pub cost: Option<Cost>,
}

/// Numbers of a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// Legacy polls.
    pub polls: u64,
    /// Polls that were told that there is nothing new.
    pub idle_polls: u64,
    /// Polls that were answered without SQL.
    pub polls_without_sql: u64,
    /// Polls that got an error.
    pub refused_polls: u64,
    /// Reads over HTTP of clients on push.
    pub reads: u64,
    /// SQL statements for polls and reads.
    pub statements: u64,
    /// SQL statements that the backend of before would have run for these polls, less those that were run for them.
    pub statements_avoided: u64,
    /// Changes handed to brokers.
    pub messages: u64,
    /// Bytes of bodies and payloads.
    pub bytes: u64,
}

/// All modules together.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Overall {
    /// The modules of which both are known, while their clients polled; null if there is none.
    pub before: Option<Cost>,
    /// The same ones now, and what belongs to no module: sessions, flags, and the gateways' own statements. Null if there is none.
    pub now: Option<Cost>,
    /// What belongs to no module; null if nothing was counted.
    pub gateways: Option<Cost>,
    /// How much less it costs a month, the database included if its size is known for both.
    pub saved_per_month: Option<f64>,
    /// The sizes of the database that the busiest hours need, if sizes are configured.
    pub database: Option<DatabaseSizes>,
    /// The modules that are left out because something is not known of them.
    pub left_out: Vec<String>,
}

/// Sizes of the database; null if none is large enough or nothing is known.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DatabaseSizes {
    /// While the clients polled.
    pub before: Option<String>,
    /// Now.
    pub now: Option<String>,
    /// The difference of their prices a month.
    pub saved_per_month: Option<f64>,
}

/// A module that nobody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unused {
    /// Its name.
    pub module: String,
    /// What engineers asked for.
    pub stage: String,
    /// When somebody last did; null if nobody has in all hours that are kept.
    pub last_asked: Option<String>,
    /// What that means.
    pub text: String,
}
