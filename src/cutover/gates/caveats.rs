//! What stands in no step's way and yet should be known before it: targets that get every change and keep clients from some of what they are
//! told.
//!
//! Invariant: only what the holder of the module's lease has just reported is told; what is older the checks say.

use super::TargetFacts;
use crate::{config::gates::Gates, domain::Micros};

/// A sentence for each target that clients would be told and that is in such trouble.
pub(super) fn of(targets: &[TargetFacts], now: Micros, settings: &Gates) -> Vec<String> {
    let caveat = |target: &TargetFacts| {
        let seen = target.seen.as_ref()?;
        let is_fresh = now.since(seen.at) <= settings.stale_after.get();
        // While it is away that is a check's.
        let trouble = seen.fact.trouble.as_deref();
        let trouble = trouble.filter(|_| is_fresh && seen.fact.connected)?;
        Some(format!("target {}: {trouble}", target.name))
    };
    targets.iter().filter_map(caveat).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{MirrorFact, SeenFact};

    const NOW: Micros = Micros::new(1_000_000_000_000);

    fn target(connected: bool, trouble: Option<&str>, age: Duration) -> TargetFacts {
        let fact = MirrorFact {
            target: "one".to_owned(),
            module: "orders".parse().unwrap(),
            connected,
            trouble: trouble.map(str::to_owned),
            behind: 0,
            lag: None,
            halted: None,
        };
        let at = NOW.minus(age);
        TargetFacts {
            name: "one".to_owned(),
            seen: Some(SeenFact { fact, at }),
            periods: Vec::new(),
        }
    }

    #[test]
    fn a_target_that_is_there_and_keeps_clients_from_something_is_named() {
        let settings = Gates::default();
        let told = |target| of(&[target], NOW, &settings);
        let no_clients = Some("no clients can be made");
        let moment = Duration::from_secs(1);
        let named = told(target(true, no_clients, moment));
        assert_eq!(named, ["target one: no clients can be made"]);
        for other in [
            target(true, None, moment),
            target(false, no_clients, moment),
            target(true, no_clients, settings.stale_after.get() + moment),
            TargetFacts {
                seen: None,
                ..target(true, no_clients, moment)
            },
        ] {
            assert_eq!(told(other), [""; 0]);
        }
    }
}
