//! From `sunset` to `retired`: does anybody still poll?

use super::{
    Check, Poller, Pollers, Verdict,
    check::{clients, figure, span},
};
use crate::{config::gates::Gates, domain::Micros};

/// What is known of those who poll a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetiredFacts {
    /// The database's time.
    pub now: Micros,
    /// Since when it would be known if somebody polled, without a gap; absent = it is not.
    pub known_since: Option<Micros>,
    /// Who has polled in `gates.no_polls_for`.
    pub pollers: Pollers,
    /// False if more have polled than are told apart: without an id, or above the bound of those who are remembered.
    pub is_exact: bool,
}

/// What has to hold before polls are answered 410.
pub(super) fn checks(facts: &RetiredFacts, settings: &Gates) -> Vec<Check> {
    vec![pollers(facts, settings)]
}

fn pollers(facts: &RetiredFacts, settings: &Gates) -> Check {
    let (polling, most) = (facts.pollers.clients, settings.pollers);
    let check = Check {
        pollers: Some(facts.pollers.clone()),
        ..Check::new("pollers", figure(most), "clients").measured(figure(polling), polling)
    };
    let have_polled = format!(
        "{} polled in the last {}",
        clients(polling, "has", "have"),
        settings.no_polls_for
    );
    if polling > most {
        return check.says(
            Verdict::Fail,
            format!("{have_polled}, at most {most}: {}", names(&facts.pollers)),
        );
    }
    if !facts.is_exact {
        return check.says(
            Verdict::NotEnoughData,
            format!(
                "clients without an id, or above census.clients, have polled in the last {}, and nobody knows how many",
                settings.no_polls_for
            ),
        );
    }
    let Some(since) = facts.known_since else {
        return check.says(
            Verdict::NotEnoughData,
            format!("{have_polled}, as far as is known: the census has a gap that goes on, a gateway without one or one that cannot write"),
        );
    };
    let known = facts.now.since(since);
    if known >= settings.no_polls_for.get() {
        return check.says(Verdict::Pass, have_polled);
    }
    check.says(
        Verdict::NotEnoughData,
        format!(
            "who polls is known for {} of {}, in which {}",
            span(known),
            settings.no_polls_for,
            clients(polling, "polled", "polled")
        ),
    )
}

/// `terminal-1, terminal-2 and 40 more, with Terminal/1.0 (42)`.
fn names(pollers: &Pollers) -> String {
    /// As many as fit into a sentence.
    const NAMED: usize = 5;
    let more = |named: usize, total: u64| {
        let rest = total.saturating_sub(u64::try_from(named).unwrap_or(u64::MAX));
        match rest {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        }
    };
    let clients: Vec<_> = pollers.by_client.iter().take(NAMED).collect();
    let name = |one: &&Poller| match one.name.as_str() {
        "" => "those without an id".to_owned(),
        name => name.to_owned(),
    };
    let named: Vec<_> = clients.iter().map(name).collect();
    let clients = named.join(", ") + &more(named.len(), pollers.clients);
    let agents = pollers.by_agent.iter().take(NAMED);
    let agents: Vec<_> = agents
        .map(|one| format!("{} ({})", one.name, one.clients))
        .collect();
    if agents.is_empty() {
        return clients;
    }
    let rest = more(agents.len(), pollers.agents);
    format!("{clients}, with {}{rest}", agents.join(", "))
}
