//! From `ramp` to `sunset`: is nearly everybody on push, and do they stay there?

use super::{
    Check, Verdict,
    check::{clients, figure, percent, span},
};
use crate::{config::gates::Gates, domain::Micros};

/// What is known of a module's clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SunsetFacts {
    /// The database's time.
    pub now: Micros,
    /// Since when the module is at its stage.
    pub entered_at: Micros,
    /// Clients with an id that take the push.
    pub push: u64,
    /// Clients with an id that poll.
    pub poll: u64,
    /// Those of them that have taken the push before.
    pub fell_back: u64,
    /// False if there are others who poll, of whom nobody knows how many: without an id, or more than are remembered.
    pub is_exact: bool,
    /// How often the guard has tripped in `gates.quiet_for`, at this stage.
    pub trips: u64,
}

/// What has to hold before everybody is told to take the push.
pub(super) fn checks(facts: &SunsetFacts, settings: &Gates) -> Vec<Check> {
    vec![
        on_push(facts, settings),
        fell_back(facts, settings),
        guard_trips(facts, settings),
    ]
}

fn on_push(facts: &SunsetFacts, settings: &Gates) -> Check {
    let known = facts.push + facts.poll;
    let check = Check::new("clients-on-push", settings.on_push_percent, "percent");
    if known < settings.clients.max(1) {
        let check = Check {
            sample: known,
            ..check
        };
        return check.says(
            Verdict::NotEnoughData,
            format!(
                "{} seen in the last {}, at least {} are asked for",
                clients(known, "with an id was", "with an id were"),
                settings.clients_within,
                settings.clients.max(1)
            ),
        );
    }
    let share = percent(facts.push, known);
    let (push, least) = (facts.push, settings.on_push_percent);
    judged(
        facts,
        check.measured(share, known),
        share >= least,
        format!("{push} of {known} clients take the push, {share} %, at least {least} %"),
    )
}

fn fell_back(facts: &SunsetFacts, settings: &Gates) -> Check {
    let pushed = facts.push + facts.fell_back;
    let check = Check::new("fell-back", settings.fell_back_percent, "percent");
    if pushed < settings.clients.max(1) {
        let check = Check {
            sample: pushed,
            ..check
        };
        return check.says(
            Verdict::NotEnoughData,
            format!(
                "{} taken the push in the last {}, at least {} are asked for",
                clients(pushed, "has", "have"),
                settings.clients_within,
                settings.clients.max(1)
            ),
        );
    }
    let share = percent(facts.fell_back, pushed);
    let (back, most) = (facts.fell_back, settings.fell_back_percent);
    judged(
        facts,
        check.measured(share, pushed),
        share <= most,
        format!("{back} of {pushed} clients went back to polling, {share} %, at most {most} %"),
    )
}

/// What holds for those who are known one by one says nothing of the others.
fn judged(facts: &SunsetFacts, check: Check, holds: bool, detail: String) -> Check {
    match (holds, facts.is_exact) {
        (true, true) => check.says(Verdict::Pass, detail),
        (true, false) => check.says(
            Verdict::NotEnoughData,
            format!("{detail}; but some poll without an id, or above census.clients, and nobody knows how many"),
        ),
        (false, _) => check.says(Verdict::Fail, detail),
    }
}

fn guard_trips(facts: &SunsetFacts, settings: &Gates) -> Check {
    let (trips, most) = (facts.trips, settings.guard_trips);
    let stayed = facts.now.since(facts.entered_at);
    let looked_at = stayed.min(settings.quiet_for.get());
    let check = Check::new("guard-trips", figure(most), "trips")
        .measured(figure(trips), looked_at.as_secs() / 60);
    if trips > most {
        return check.says(
            Verdict::Fail,
            format!(
                "the guard tripped {trips} times in the last {}, at most {most}",
                span(looked_at)
            ),
        );
    }
    if stayed < settings.quiet_for.get() {
        return check.says(
            Verdict::NotEnoughData,
            format!(
                "at this stage for {} of {}, in which the guard tripped {trips} times",
                span(stayed),
                settings.quiet_for
            ),
        );
    }
    check.says(
        Verdict::Pass,
        format!(
            "the guard tripped {trips} times in the last {}",
            settings.quiet_for
        ),
    )
}
