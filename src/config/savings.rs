//! `[savings]` and `[modules.savings]`: what is kept of what was counted, and what it is worth.

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// What is kept, and what the figures assume.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Savings {
    /// How often what was counted is written to the database.
    pub flush: Span,
    /// How long the hours are kept.
    pub keep: Span,
    /// SQL statements that the backend of before ran for one poll.
    pub sql_per_poll: f64,
    /// Bytes of an answer's head, which are not counted.
    pub head_bytes: u32,
    /// To how many clients a broker hands one message on.
    pub receivers_per_message: f64,
    /// What things cost; absent = nothing is said about money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

impl Default for Savings {
    fn default() -> Self {
        Self {
            flush: Span::from_secs(60),
            keep: Span::from_secs(366 * 86_400),
            sql_per_poll: 1.0,
            head_bytes: 250,
            receivers_per_message: 1.0,
            prices: None,
        }
    }
}

/// What things cost. What is left out costs nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// In what.
    pub currency: String,
    /// A million requests, polls or reads.
    pub per_million_requests: f64,
    /// A million SQL statements.
    pub per_million_queries: f64,
    /// 10^9 bytes that leave.
    pub per_gb_out: f64,
    /// A million messages that a broker hands to clients.
    pub per_million_messages: f64,
    /// Sizes of the database, the smallest first.
    pub database_sizes: Vec<DatabaseSize>,
}

/// A size that the database may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSize {
    /// What operators call it.
    pub name: String,
    /// Statements a second that it carries.
    pub queries_per_s: f64,
    /// What it costs a month.
    pub per_month: f64,
}

/// What is known of one module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModuleSavings {
    /// Polls a second while all its clients polled; absent = as they were counted until the step to `ramp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_s: Option<f64>,
    /// SQL statements that one of its polls was; absent = `savings.sql_per_poll`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_per_poll: Option<f64>,
    /// To how many clients a broker hands one of its messages on; absent = `savings.receivers_per_message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receivers_per_message: Option<f64>,
}

/// Nothing real is more.
const MOST: f64 = 1e12;

impl Savings {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound_span(&key("flush"), self.flush, "1s", "1h");
        problems.bound_span(&key("keep"), self.keep, "1day", "3660days");
        problems.bound(&key("head_bytes"), self.head_bytes, 0, 65_536);
        amount(problems, &key("sql_per_poll"), self.sql_per_poll);
        amount(
            problems,
            &key("receivers_per_message"),
            self.receivers_per_message,
        );
        if let Some(prices) = &self.prices {
            prices.validate(&key("prices"), problems);
        }
    }
}

impl Prices {
    fn validate(&self, path: &str, problems: &mut Problems) {
        let letters = self.currency.chars().count();
        if !(1..=8).contains(&letters) || self.currency.chars().any(char::is_control) {
            problems.push(
                format!("{path}.currency"),
                "must be named, in 1 to 8 characters, e.g. \"USD\"",
            );
        }
        for (name, price) in [
            ("per_million_requests", self.per_million_requests),
            ("per_million_queries", self.per_million_queries),
            ("per_gb_out", self.per_gb_out),
            ("per_million_messages", self.per_million_messages),
        ] {
            amount(problems, &format!("{path}.{name}"), price);
        }
        let sizes = format!("{path}.database_sizes");
        for (n, size) in self.database_sizes.iter().enumerate() {
            size.validate(&format!("{sizes}[{n}]"), problems);
        }
        let mut pairs = self.database_sizes.windows(2);
        if !pairs.all(|pair| pair[0].queries_per_s < pair[1].queries_per_s) {
            problems.push(
                sizes,
                "must be in the order of queries_per_s, the smallest first, each once",
            );
        }
    }
}

impl DatabaseSize {
    fn validate(&self, path: &str, problems: &mut Problems) {
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            problems.push(
                format!("{path}.name"),
                "must be a name, without control characters",
            );
        }
        amount(
            problems,
            &format!("{path}.queries_per_s"),
            self.queries_per_s,
        );
        amount(problems, &format!("{path}.per_month"), self.per_month);
    }
}

impl ModuleSavings {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        for (name, value) in [
            ("requests_per_s", self.requests_per_s),
            ("sql_per_poll", self.sql_per_poll),
            ("receivers_per_message", self.receivers_per_message),
        ] {
            if let Some(value) = value {
                amount(problems, &format!("{path}.{name}"), value);
            }
        }
    }
}

fn amount(problems: &mut Problems, path: &str, value: f64) {
    if !(0.0..=MOST).contains(&value) {
        problems.push(path, format!("must be from 0 to {MOST:.0}, not {value}"));
    }
}
