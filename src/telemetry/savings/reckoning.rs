//! From what was counted to what it cost.

use std::time::Duration;

use super::{
    advice,
    cost::{Cost, size},
    view::{Before, DatabaseSizes, ModuleSavings, Now, Overall, Savings, Source, Totals},
};
use crate::{
    config::savings::{self, Prices},
    domain::{Micros, ModuleName, Stage, Transport},
    telemetry::usage::{Counts, NO_MODULE, UsageSum},
};

/// What was counted of all modules.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// In the last days.
    pub recently: Vec<UsageSum>,
    /// In hours in which nobody was asked to take the push.
    pub while_polled: Vec<UsageSum>,
    /// In all hours that are kept.
    pub ever: Vec<UsageSum>,
    /// The most requests of an hour, and statements, in the last days.
    pub busiest: (u64, u64),
}

/// What the figures are made from.
#[derive(Debug)]
pub struct Reckoning<'a> {
    /// Prices and assumptions.
    pub settings: &'a savings::Savings,
    /// Over how many days `now` is taken.
    pub days: u32,
    /// The modules with the stage that is asked for, and what is configured of each.
    pub modules: Vec<(ModuleName, Stage, savings::ModuleSavings)>,
    /// What was counted.
    pub counted: Counted,
}

const HOUR_S: f64 = 3_600.0;

impl Reckoning<'_> {
    /// The figures.
    pub fn savings(&self) -> Savings {
        let modules: Vec<_> = self.modules.iter().map(|one| self.module(one)).collect();
        let overall = self.overall(&modules);
        Savings {
            days: self.days,
            currency: self.prices().map(|prices| prices.currency.clone()),
            assumptions: advice::assumptions(self),
            unused: advice::unused(self, &modules),
            shrink: advice::shrink(self, &modules, &overall),
            modules,
            overall,
        }
    }

    pub(super) fn prices(&self) -> Option<&Prices> {
        self.settings.prices.as_ref()
    }

    fn module(
        &self,
        (module, stage, known): &(ModuleName, Stage, savings::ModuleSavings),
    ) -> ModuleSavings {
        let name = module.as_str();
        let mut notes = Vec::new();
        let before = self.before(name, known, &mut notes);
        let now = self.now(name, known, &mut notes);
        let price = |cost: &Option<Cost>| cost.as_ref().and_then(|cost| cost.per_month);
        let saved = price(&before.cost).zip(price(&now.cost));
        ModuleSavings {
            module: name.to_owned(),
            stage: stage.as_str().to_owned(),
            saved_per_month: saved.map(|(before, now)| before - now),
            before,
            now,
            notes,
        }
    }

    fn sql_per_poll(&self, known: &savings::ModuleSavings) -> f64 {
        known.sql_per_poll.unwrap_or(self.settings.sql_per_poll)
    }

    fn before(
        &self,
        module: &str,
        known: &savings::ModuleSavings,
        notes: &mut Vec<String>,
    ) -> Before {
        let polled = find(&self.counted.while_polled, module, Transport::Poll);
        let polled = polled.filter(|sum| !sum.counted.is_zero());
        let measured = polled.map(|sum| per_s(sum.counts.requests, sum.counted));
        let (source, requests_per_s) = match (known.requests_per_s, measured) {
            (Some(configured), _) => (Source::Configured, Some(configured)),
            (None, Some(measured)) => (Source::Measured, Some(measured)),
            (None, None) => {
                notes.push(
                    "before: not known, nothing was counted at mirror; set [modules.savings] requests_per_s"
                        .to_owned(),
                );
                (Source::Unknown, None)
            }
        };
        if source == Source::Measured && polled.is_some_and(|sum| hours(sum.counted) < 24.0) {
            notes
                .push("before: less than a day was counted at mirror, and hours differ".to_owned());
        }
        let bytes = polled.and_then(|sum| self.bytes_of_a_poll(&sum.counts));
        let cost = requests_per_s.map(|requests_per_s| {
            Cost {
                requests_per_s,
                queries_per_s: requests_per_s * self.sql_per_poll(known),
                messages_per_s: 0.0,
                bytes_per_s: match bytes {
                    _ if requests_per_s == 0.0 => Some(0.0),
                    bytes => bytes.map(|bytes| requests_per_s * bytes),
                },
                per_month: None,
            }
            .priced(self.prices())
        });
        if cost.is_some_and(|cost| cost.bytes_per_s.is_none()) {
            notes.push("before: how large its answers were is not known".to_owned());
        }
        Before {
            source,
            from: polled.map(|sum| rfc3339(sum.from)),
            to: polled.map(|sum| rfc3339(sum.to)),
            counted_hours: polled.map_or(0.0, |sum| hours(sum.counted)),
            busiest_requests_per_s: polled.map(|sum| busiest(sum.busiest_requests)),
            cost,
        }
    }

    /// Bytes of one answer with its head; `None` if there was none.
    fn bytes_of_a_poll(&self, polls: &Counts) -> Option<f64> {
        let bodies = float(polls.bytes) / float(polls.requests);
        (polls.requests > 0).then(|| bodies + f64::from(self.settings.head_bytes))
    }

    fn now(&self, module: &str, known: &savings::ModuleSavings, notes: &mut Vec<String>) -> Now {
        let of = |sums: &'_ [UsageSum], transport| find(sums, module, transport).cloned();
        let recently = &self.counted.recently;
        let polls = of(recently, Transport::Poll).filter(|sum| !sum.counted.is_zero());
        let push = of(recently, Transport::Push);
        let both = [Transport::Poll, Transport::Push];
        let asked = both.map(|transport| of(&self.counted.ever, transport));
        let asked = asked.into_iter().flatten().filter_map(|sum| sum.last_asked);
        let pushed = push.as_ref().map_or(Counts::default(), |sum| sum.counts);
        let polled = polls.as_ref().map_or(Counts::default(), |sum| sum.counts);
        if polls.is_none() {
            notes.push("now: not known, nothing was counted in these days".to_owned());
        }
        let most = |sum: &UsageSum| sum.busiest_requests;
        let cost = polls.as_ref().map(|sum| {
            let receivers = known.receivers_per_message;
            let receivers = receivers.unwrap_or(self.settings.receivers_per_message);
            self.cost(polled, pushed, receivers, sum.counted)
        });
        let avoided = float(polled.requests) * self.sql_per_poll(known);
        Now {
            from: polls.as_ref().map(|sum| rfc3339(sum.from)),
            to: polls.as_ref().map(|sum| rfc3339(sum.to)),
            counted_hours: polls.as_ref().map_or(0.0, |sum| hours(sum.counted)),
            busiest_requests_per_s: polls
                .as_ref()
                .map(|sum| busiest(most(sum) + push.as_ref().map_or(0, most))),
            counted: totals(polled, pushed, avoided),
            last_asked: asked.max().map(rfc3339),
            cost,
        }
    }

    /// What was counted over some time.
    fn cost(&self, polls: Counts, push: Counts, receivers: f64, counted: Duration) -> Cost {
        let requests = polls.requests + push.requests;
        let heads = float(requests) * f64::from(self.settings.head_bytes);
        let per_s = |amount: f64| amount / counted.as_secs_f64();
        let payloads = float(push.payloads) * receivers;
        Cost {
            requests_per_s: per_s(float(requests)),
            queries_per_s: per_s(float(polls.statements + push.statements)),
            messages_per_s: per_s(float(push.messages) * receivers),
            bytes_per_s: Some(per_s(float(polls.bytes + push.bytes) + heads + payloads)),
            per_month: None,
        }
        .priced(self.prices())
    }

    fn gateways(&self) -> Option<Cost> {
        let recently = &self.counted.recently;
        let whole = find(recently, NO_MODULE, Transport::Poll)?;
        if whole.counted.is_zero() {
            return None;
        }
        let of_modules = recently.iter().filter(|sum| sum.module != NO_MODULE);
        let of_modules: u64 = of_modules.map(|sum| sum.counts.statements).sum();
        let own = Counts {
            statements: whole.counts.statements.saturating_sub(of_modules),
            ..whole.counts
        };
        let push = find(recently, NO_MODULE, Transport::Push);
        let push = push.map_or(Counts::default(), |sum| sum.counts);
        Some(self.cost(own, push, 1.0, whole.counted))
    }

    fn overall(&self, modules: &[ModuleSavings]) -> Overall {
        let prices = self.prices();
        let known = |one: &&ModuleSavings| one.before.cost.is_some() && one.now.cost.is_some();
        let (inside, outside): (Vec<_>, Vec<_>) = modules.iter().partition(known);
        let sum = |costs: &mut dyn Iterator<Item = Cost>| {
            (!inside.is_empty()).then(|| costs.fold(Cost::nothing(prices), Cost::plus))
        };
        let gateways = self.gateways();
        let before = sum(&mut inside.iter().filter_map(|one| one.before.cost));
        let now = sum(&mut inside.iter().filter_map(|one| one.now.cost).chain(gateways));
        let database = self.database(&inside);
        let per_month = |cost: Option<Cost>| cost?.per_month;
        let saved = per_month(before).zip(per_month(now));
        let of_size = database.as_ref().and_then(|sizes| sizes.saved_per_month);
        Overall {
            before,
            now,
            gateways,
            saved_per_month: saved.map(|(before, now)| before - now + of_size.unwrap_or_default()),
            database,
            left_out: outside.iter().map(|one| one.module.clone()).collect(),
        }
    }

    /// Statements a second that the database had to carry in the busiest hour, as far as it is known, and has to now.
    pub(super) fn busiest_statements(&self, modules: &[&ModuleSavings]) -> (Option<f64>, f64) {
        let of = |one: &&ModuleSavings| {
            let cost = one.before.cost?;
            let busiest = one.before.busiest_requests_per_s;
            let requests = busiest.unwrap_or_default().max(cost.requests_per_s);
            let each = cost.queries_per_s / cost.requests_per_s;
            Some(if cost.requests_per_s > 0.0 {
                requests * each
            } else {
                0.0
            })
        };
        let before: Vec<_> = modules.iter().filter_map(of).collect();
        let known = !before.is_empty();
        // An hour that has only begun is no measure of what comes in an hour.
        let whole = find(&self.counted.recently, NO_MODULE, Transport::Poll);
        let whole = whole.filter(|sum| !sum.counted.is_zero());
        let average = whole.map(|sum| per_s(sum.counts.statements, sum.counted));
        (
            known.then(|| before.into_iter().sum()),
            busiest(self.counted.busiest.1).max(average.unwrap_or_default()),
        )
    }

    fn database(&self, modules: &[&ModuleSavings]) -> Option<DatabaseSizes> {
        let prices = self
            .prices()
            .filter(|prices| !prices.database_sizes.is_empty())?;
        let (before, now) = self.busiest_statements(modules);
        let before = before.and_then(|queries| size(prices, queries));
        let counted = !self.counted.recently.is_empty();
        let now = size(prices, now).filter(|_| counted);
        Some(DatabaseSizes {
            before: before.map(|size| size.name.clone()),
            now: now.map(|size| size.name.clone()),
            saved_per_month: before
                .zip(now)
                .map(|(before, now)| before.per_month - now.per_month),
        })
    }
}

fn totals(polls: Counts, push: Counts, avoided: f64) -> Totals {
    Totals {
        polls: polls.requests,
        idle_polls: polls.idle,
        polls_without_sql: polls.memory,
        refused_polls: polls.refused,
        reads: push.requests,
        statements: polls.statements + push.statements,
        statements_avoided: whole(avoided - float(polls.statements)),
        messages: push.messages,
        bytes: polls.bytes + push.bytes + push.payloads,
    }
}

/// The sum of one module and transport.
pub(super) fn find<'a>(
    sums: &'a [UsageSum],
    module: &str,
    transport: Transport,
) -> Option<&'a UsageSum> {
    sums.iter()
        .find(|sum| sum.module == module && sum.transport == transport)
}

fn per_s(count: u64, over: Duration) -> f64 {
    float(count) / over.as_secs_f64()
}

/// The average of an hour.
pub(super) fn busiest(requests: u64) -> f64 {
    float(requests) / HOUR_S
}

pub(super) fn hours(span: Duration) -> f64 {
    span.as_secs_f64() / HOUR_S
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what a year of requests adds up to is known to fifteen digits"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast is to the nearest whole number, and no less than zero"
)]
const fn whole(amount: f64) -> u64 {
    amount.round() as u64
}

pub(super) fn rfc3339(time: Micros) -> String {
    humantime::format_rfc3339_seconds(time.into()).to_string()
}

#[cfg(test)]
#[path = "reckoning_tests.rs"]
mod tests;
