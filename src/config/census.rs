//! `[census]`: who was last seen how, and for how long that is kept.

use serde::{Deserialize, Serialize};

use super::{Problems, gates::Gates, modules_check::NEXT_POLL_MAX_MS, span::Span};

/// What is remembered of clients, and what follows from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Census {
    /// Whether clients are remembered at all.
    pub enabled: bool,
    /// Clients that are remembered one by one, for each of their modules; those above are estimated.
    pub clients: usize,
    /// What is kept of a client's program and version.
    pub agent_bytes: usize,
    /// Whether the database keeps the addresses of clients.
    pub addresses: bool,
    /// How often what is new is written.
    pub flush: Span,
    /// Most clients that one transaction writes.
    pub batch: usize,
    /// How old what is written of a client that comes again and again may become.
    pub resolution: Span,
    /// Who was seen within this time is counted.
    pub window: Span,
    /// How often clients are counted.
    pub count_every: Span,
    /// For how long the database keeps a client that is not seen any more.
    pub keep: Span,
    /// For how long a gateway may write nothing until who polls counts as unknown for that time.
    pub gap: Span,
    /// For how long a client that is told to push may go on polling, until it counts as fallen back.
    pub grace: Span,
    /// For how long a client that says that it is on push is believed.
    pub push_holds: Span,
    /// How polls of clients on push grow rare.
    pub decay: Decay,
}

/// How the interval of a client grows while its push is healthy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decay {
    /// The most that it says; 0 = it does not grow.
    pub max_ms: u64,
    /// In what time it doubles.
    pub double_every: Span,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            enabled: true,
            clients: 200_000,
            agent_bytes: 128,
            addresses: false,
            flush: Span::from_secs(10),
            batch: 500,
            resolution: Span::from_secs(5 * 60),
            window: Span::from_secs(24 * 3_600),
            count_every: Span::from_secs(30),
            keep: Span::from_secs(30 * 24 * 3_600),
            gap: Span::from_secs(15 * 60),
            grace: Span::from_secs(2 * 60),
            push_holds: Span::from_secs(15 * 60),
            decay: Decay::default(),
        }
    }
}

impl Default for Decay {
    fn default() -> Self {
        Self {
            max_ms: 300_000,
            double_every: Span::from_secs(60),
        }
    }
}

/// Gaps that go unnoticed in the time for which a gate wants to know who polled, at most.
const GAPS: u32 = 4;

impl Census {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("clients"), self.clients, 1, 20_000_000);
        problems.bound(&key("agent_bytes"), self.agent_bytes, 8, 256);
        problems.bound_span(&key("flush"), self.flush, "100ms", "10m");
        problems.bound(&key("batch"), self.batch, 1, 5_000);
        problems.bound_span(&key("resolution"), self.resolution, "100ms", "1h");
        problems.bound_span(&key("window"), self.window, "1s", "90d");
        problems.bound_span(&key("count_every"), self.count_every, "100ms", "1h");
        problems.bound_span(&key("keep"), self.keep, "1m", "3650d");
        problems.bound_span(&key("gap"), self.gap, "1s", "7d");
        problems.bound_span(&key("grace"), self.grace, "100ms", "1h");
        problems.bound_span(&key("push_holds"), self.push_holds, "200ms", "1d");
        problems.bound_span(
            &key("decay.double_every"),
            self.decay.double_every,
            "1s",
            "1d",
        );
        problems.bound(&key("decay.max_ms"), self.decay.max_ms, 0, NEXT_POLL_MAX_MS);
        if self.keep < self.window {
            let why = format!(
                "{} must not be shorter than window ({})",
                self.keep, self.window
            );
            problems.push(key("keep"), why);
        }
        let written = self.flush.get() * 4;
        if self.gap.get() < written {
            let why = format!(
                "{} must not be shorter than four times flush ({}): each write that is late would be a gap",
                self.gap,
                humantime::format_duration(written)
            );
            problems.push(key("gap"), why);
        }
        let renewed = self.resolution.get() + self.flush.get();
        if self.push_holds.get() < renewed {
            let why = format!(
                "{} must not be shorter than resolution and flush together ({}): the other replicas would take clients on push for gone",
                self.push_holds,
                humantime::format_duration(renewed)
            );
            problems.push(key("push_holds"), why);
        }
    }

    /// Who was seen must be known for as long as gates look back, or they would take for nobody whom the census has forgotten.
    pub(super) fn validate_for(&self, gates: &Gates, path: &str, problems: &mut Problems) {
        let asked = [
            ("gates.clients_within", gates.clients_within),
            ("gates.no_polls_for", gates.no_polls_for),
        ];
        for (name, span) in asked {
            if self.enabled && self.keep < span {
                let why = format!(
                    "{} must not be shorter than {name} ({span}): the gate would take those who are forgotten for nobody",
                    self.keep
                );
                problems.push(format!("{path}.keep"), why);
            }
        }
        let most = gates.no_polls_for.get() / GAPS;
        if self.enabled && self.gap.get() > most {
            let why = format!(
                "{} must not be longer than a quarter of gates.no_polls_for ({}): the gate would pass on a time in which nobody looked",
                self.gap,
                humantime::format_duration(most)
            );
            problems.push(format!("{path}.gap"), why);
        }
    }
}
