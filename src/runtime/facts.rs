//! How the mirror of this replica's modules stands, as the gates' reporter writes it down.

use std::{sync::Arc, time::Duration};

use super::{
    parts::Parts,
    tasks::{Rank, Tasks},
};
use crate::{
    cutover::{FactsReporter, Report, Verified},
    domain::{Micros, ModuleName},
    log::Leadership,
    mirror::{self, Logins, ModuleStatus, Outcome, TargetStatus},
    store::{Findings, MirrorFact},
};

/// Starts the reporter. It ends with the mirror, while the leases are still held.
pub(super) fn report(tasks: &mut Tasks, parts: &Parts, mirror: &mirror::Status) {
    let (mirror, leadership) = (mirror.clone(), Arc::clone(&parts.leadership));
    let logins = parts.entrances.logins();
    let reporter = FactsReporter::new(
        Arc::clone(&parts.store),
        parts.config.gates.clone(),
        move |now| reports(&mirror, &leadership, &logins, now),
    );
    tasks.spawn(Rank::Mirror, "facts reporter", |stop| reporter.run(stop));
}

/// `now` is the database's time, which changes are numbered by; absent = nobody has asked for it yet.
fn reports(
    mirror: &mirror::Status,
    leadership: &Leadership,
    logins: &Logins,
    now: Option<Micros>,
) -> Vec<Report> {
    let of_target = |target: &Arc<TargetStatus>| {
        let lacks_login = logins.lacks(target.name());
        let modules = target.modules().into_iter();
        let of_module = |(module, status): (ModuleName, ModuleStatus)| {
            Some(Report {
                lease: leadership.lease(&module)?,
                verified: verified(target, &module),
                fact: fact((target, lacks_login), module, status, now),
            })
        };
        modules.filter_map(of_module).collect::<Vec<_>>()
    };
    mirror.targets().iter().flat_map(of_target).collect()
}

fn fact(
    (target, lacks_login): (&TargetStatus, bool),
    module: ModuleName,
    status: ModuleStatus,
    now: Option<Micros>,
) -> MirrorFact {
    let lag = match now {
        _ if status.oldest.is_none() => (status.behind == 0).then_some(Duration::ZERO),
        now => now.map(|now| status.lag(now)),
    };
    MirrorFact {
        target: target.name().to_owned(),
        module,
        connected: target.connected(),
        trouble: if target.connected() {
            caveat(target, status.unheard.as_deref(), lacks_login)
        } else {
            target.trouble().map(String::from)
        },
        behind: status.behind,
        lag,
        halted: status.halted,
    }
}

/// What keeps clients of a module from some of what they are told, although its changes get there, and what helps.
fn caveat(target: &TargetStatus, unheard: Option<&str>, lacks_login: bool) -> Option<String> {
    let name = target.name();
    let unheard = unheard.map(|why| {
        format!(
            "clients there do not hear of its flips and panics, as the broker refuses the retained message ({why}): let the gateway's user \
             publish it retained, then `changeover target retry {name}`"
        )
    });
    let shut = target.shut().map(|why| {
        format!("{why}; sessions tell clients to poll until it is mended, see `changeover target list` and BROKERS.md")
    });
    let no_login = lacks_login.then(|| {
        "the password that its clients share cannot be read, so none gets in: see client_password_file of the target".to_owned()
    });
    let all: Vec<_> = [unheard, shut, no_login].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn verified(target: &TargetStatus, module: &ModuleName) -> Option<Verified> {
    let verification = target.verification();
    let found = verification.module(module)?;
    Some(Verified {
        listening: verification.listening(),
        found: Findings {
            ok: found.count(Outcome::Ok),
            missing: found.count(Outcome::Missing),
            duplicate: found.count(Outcome::Duplicate),
            reordered: found.count(Outcome::Reordered),
            previous: found.count(Outcome::Previous),
            late: found.count(Outcome::Late),
            foreign: found.count(Outcome::Foreign),
            unobserved: found.count(Outcome::Unobserved),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cursor, Epoch, Position};

    #[test]
    fn a_lag_is_told_by_the_databases_clock() {
        let lag = |behind, oldest, now| {
            let status = ModuleStatus {
                acknowledged: Cursor::new(Epoch::FIRST, Position::new(7)),
                stay: 1,
                generation: 1,
                behind,
                oldest,
                halted: None,
                skipped: None,
                unheard: None,
            };
            let target = TargetStatus::new("local");
            fact((&target, false), "orders".parse().unwrap(), status, now).lag
        };
        // No host's clock is there yet.
        let numbered_at = Micros::new(9_000_000_000_000_000);
        let late = Duration::from_secs(10);
        let now = numbered_at.plus(late);
        assert_eq!(lag(1, Some(numbered_at), Some(now)), Some(late));
        assert_eq!(lag(1, Some(numbered_at), None), None, "nobody has asked");
        assert_eq!(lag(0, None, None), Some(Duration::ZERO));
        assert_eq!(lag(1, None, Some(now)), None, "it is not in memory");
    }

    #[test]
    fn each_thing_that_clients_lack_is_told_with_what_helps() {
        let target = TargetStatus::new("one");
        assert_eq!(caveat(&target, None, false), None);
        let unheard = caveat(&target, Some("NotAuthorized"), false).unwrap();
        assert!(unheard.contains("(NotAuthorized)"), "{unheard}");
        assert!(
            unheard.ends_with("`changeover target retry one`"),
            "{unheard}"
        );
        let all = caveat(&target, Some("NotAuthorized"), true).unwrap();
        assert!(all.starts_with(&unheard), "{all}");
        assert!(all.contains("client_password_file"), "{all}");
    }
}
