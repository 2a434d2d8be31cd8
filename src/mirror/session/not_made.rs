//! What is told to a client that could not be made on its broker.
//!
//! Invariant: it polls what it would get there, and comes back soon to ask again, at a moment of its own.

use std::{collections::BTreeMap, time::Duration};

use super::ModuleSession;
use crate::domain::Transport;

/// Why it polls.
const REASON: &str = "broker-unready";

/// When it asks again: from so long on,
const AGAIN: Duration = Duration::from_secs(5);
/// and over so long.
const SPREAD: Duration = Duration::from_secs(25);

/// Whoever cannot enter this target polls. `chance` is from 0 up to 1.
pub(super) fn poll_instead(
    modules: &mut BTreeMap<String, ModuleSession>,
    target: &str,
    chance: f64,
) {
    let again = AGAIN + SPREAD.mul_f64(chance.clamp(0.0, 1.0));
    let again = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
    let modules = modules.values_mut();
    for module in modules.filter(|module| module.target.as_deref() == Some(target)) {
        module.transport = Transport::Poll;
        module.reason = REASON;
        let holds = module.holds_ms.unwrap_or(u64::MAX);
        module.holds_ms = Some(holds.min(again));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(target: &str, holds_ms: Option<u64>) -> ModuleSession {
        ModuleSession {
            transport: Transport::Push,
            reason: "stage",
            version: 1,
            topics: Vec::new(),
            target: Some(target.to_owned()),
            next_poll_ms: None,
            returns: false,
            holds_ms,
        }
    }

    #[test]
    fn what_comes_from_elsewhere_goes_on() {
        let all = [
            ("a", "one", None),
            ("b", "two", None),
            ("c", "one", Some(9)),
        ];
        let all = all.map(|(name, target, holds)| (name.to_owned(), module(target, holds)));
        let mut modules = BTreeMap::from(all);
        poll_instead(&mut modules, "one", 0.5);
        let told = |name: &str| {
            let module = &modules[name];
            (module.transport, module.reason, module.holds_ms)
        };
        assert_eq!(told("a"), (Transport::Poll, REASON, Some(17_500)));
        assert_eq!(told("b"), (Transport::Push, "stage", None));
        assert_eq!(told("c"), (Transport::Poll, REASON, Some(9)));
    }
}
