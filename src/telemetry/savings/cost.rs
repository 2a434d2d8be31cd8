//! What a rate costs, from the price table.

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::savings::{DatabaseSize, Prices};

/// Seconds of a month: a twelfth of 365.25 days.
pub const MONTH_S: f64 = 2_629_800.0;

/// How fast something is used, and what that costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Cost {
    /// Requests a second.
    pub requests_per_s: f64,
    /// SQL statements a second.
    pub queries_per_s: f64,
    /// Messages a second that brokers hand to clients.
    pub messages_per_s: f64,
    /// Bytes a second of answers and messages, heads included; null if it is not known.
    pub bytes_per_s: Option<f64>,
    /// What that costs a month, without the size of the database; null without prices, or if something is not known that has one.
    pub per_month: Option<f64>,
}

impl Cost {
    /// The same with its price.
    #[must_use]
    pub(super) fn priced(self, prices: Option<&Prices>) -> Self {
        let per_month = prices.and_then(|prices| self.price(prices));
        Self { per_month, ..self }
    }

    fn price(&self, prices: &Prices) -> Option<f64> {
        let bytes = match self.bytes_per_s {
            Some(bytes) => bytes * prices.per_gb_out / 1e9,
            None if prices.per_gb_out > 0.0 => return None,
            None => 0.0,
        };
        let per_s = bytes
            + (self.requests_per_s * prices.per_million_requests
                + self.queries_per_s * prices.per_million_queries
                + self.messages_per_s * prices.per_million_messages)
                / 1e6;
        Some(per_s * MONTH_S)
    }

    /// Both together. What is not known of one is not known of both.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self {
            requests_per_s: self.requests_per_s + other.requests_per_s,
            queries_per_s: self.queries_per_s + other.queries_per_s,
            messages_per_s: self.messages_per_s + other.messages_per_s,
            bytes_per_s: both(self.bytes_per_s, other.bytes_per_s),
            per_month: both(self.per_month, other.per_month),
        }
    }

    /// Nothing at all, which costs nothing wherever there are prices.
    pub(super) fn nothing(prices: Option<&Prices>) -> Self {
        let bytes_per_s = Some(0.0);
        Self {
            bytes_per_s,
            ..Self::default()
        }
        .priced(prices)
    }
}

/// The smallest size that carries so many statements a second; `None` if none does.
pub(super) fn size(prices: &Prices, queries_per_s: f64) -> Option<&DatabaseSize> {
    let mut sizes = prices.database_sizes.iter();
    sizes.find(|size| size.queries_per_s >= queries_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        let size = |name: &str, queries_per_s, per_month| DatabaseSize {
            name: name.to_owned(),
            queries_per_s,
            per_month,
        };
        Prices {
            currency: "USD".to_owned(),
            per_million_requests: 0.4,
            per_million_queries: 0.2,
            per_gb_out: 0.09,
            per_million_messages: 1.0,
            database_sizes: vec![size("s", 100.0, 50.0), size("l", 1_000.0, 400.0)],
        }
    }

    /// Requests, statements, messages and bytes a second, and what they cost a month by hand.
    const TABLE: [(f64, f64, f64, Option<f64>, Option<f64>); 7] = [
        (0.0, 0.0, 0.0, Some(0.0), Some(0.0)),
        (1.0, 0.0, 0.0, Some(0.0), Some(1.051_92)),
        (0.0, 1.0, 0.0, Some(0.0), Some(0.525_96)),
        (0.0, 0.0, 1.0, Some(0.0), Some(2.629_8)),
        (0.0, 0.0, 0.0, Some(1e6), Some(236.682)),
        // A fleet of 4,500 that polls each second, three statements a poll.
        (4_500.0, 13_500.0, 0.0, Some(2.7e6), Some(12_473.141_4)),
        (1.0, 1.0, 1.0, None, None),
    ];

    #[test]
    fn a_month_costs_what_the_table_says() {
        for (requests_per_s, queries_per_s, messages_per_s, bytes_per_s, expected) in TABLE {
            let cost = Cost {
                requests_per_s,
                queries_per_s,
                messages_per_s,
                bytes_per_s,
                per_month: None,
            };
            let priced = cost.priced(Some(&prices())).per_month;
            match (priced, expected) {
                (Some(priced), Some(expected)) => {
                    assert!((priced - expected).abs() < 1e-6, "{cost:?}: {priced}");
                }
                other => assert_eq!(other, (None, None), "{cost:?}"),
            }
            assert_eq!(cost.priced(None).per_month, None, "without prices");
        }
    }

    #[test]
    fn unknown_bytes_matter_only_if_they_have_a_price() {
        let cost = Cost {
            requests_per_s: 1.0,
            ..Cost::default()
        };
        let free = Prices {
            per_gb_out: 0.0,
            ..prices()
        };
        assert_eq!(cost.priced(Some(&prices())).per_month, None);
        assert!(cost.priced(Some(&free)).per_month.is_some());
        let sum = Cost::nothing(Some(&free)).plus(cost.priced(Some(&free)));
        assert_eq!(sum.bytes_per_s, None);
        assert!(sum.per_month.is_some());
    }

    #[test]
    fn the_smallest_size_that_carries_it() {
        let prices = prices();
        let named = |queries| size(&prices, queries).map(|size| size.name.as_str());
        assert_eq!(named(0.0), Some("s"));
        assert_eq!(named(100.0), Some("s"));
        assert_eq!(named(100.1), Some("l"));
        assert_eq!(named(1_000.1), None);
    }
}
