//! What a client may do on a target: the roles that it gets.
//!
//! Invariants: a role is named by its topics, so two that are called the same allow the same; clients share them: one role for what all may read, and one for
//! each audience. A role ends after every client that may have it, and then nobody makes it again.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{
    config::{Config, mqtt::Target},
    domain::{Audience, Micros, ModuleName},
    identity::{
        Who,
        passes::{Passes, lasting_name},
    },
    mirror::message::{base32, topic::Topics},
};

/// Topics that its clients may subscribe to and receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) topics: Vec<String>,
}

/// What can be read on a target.
#[derive(Debug)]
pub(super) struct Rights {
    topics: Topics,
    /// Whether nobody has channels of his own there.
    modules: Vec<(ModuleName, bool)>,
}

/// Lifetimes of clients in that of a role: the longer, the less often all roles are made anew.
const LIFETIMES: u32 = 4;

/// Characters of a role's name that tell its topics, of five bits each.
const NAME_CHARACTERS: usize = 26;

impl Rights {
    pub(super) fn of(config: &Config, target: &Target) -> Self {
        let prefix = target.effective_prefix(&config.mqtt);
        let modules = config.modules_by_name().into_iter();
        let taken = modules.filter(|(name, _)| target.takes(name));
        Self {
            topics: Topics::within(prefix, target.broker_limits().topic_bytes),
            modules: taken
                .map(|(name, module)| (name, config.is_for_everyone(module)))
                .collect(),
        }
    }

    /// The roles of a client that ends then: everything on this target that its caller and these audiences may read.
    pub(super) fn roles(
        &self,
        passes: &Passes,
        (who, audiences): (&Who, &[Audience]),
        end: Micros,
    ) -> Vec<Role> {
        let modules = self.modules.iter();
        let taken: Vec<_> = modules
            .filter(|(module, _)| passes.takes_caller(who, module))
            .collect();
        let everyone = Audience::everyone();
        let shared = taken.iter().flat_map(|(module, _)| {
            let channel = self.topics.channel(module, &everyone);
            [self.topics.bookmark(module), channel]
        });
        let own = audiences.iter().filter(|own| !own.is_everyone());
        let own = own.map(|audience| {
            let modules = taken.iter().filter(|(_, is_for_everyone)| !is_for_everyone);
            let channel = modules.map(|(module, _)| self.topics.channel(module, audience));
            channel.collect::<Vec<_>>()
        });
        let until = role_end(end, passes.lifetime());
        let sets = std::iter::once(shared.collect()).chain(own);
        sets.filter_map(|topics| self.role(topics, until)).collect()
    }

    fn role(&self, mut topics: Vec<String>, end: Micros) -> Option<Role> {
        topics.retain(|topic| self.topics.can_be(topic));
        topics.sort_unstable();
        if topics.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for topic in &topics {
            hash.update(topic);
            // No topic holds one.
            hash.update(b"\0");
        }
        let hash = base32::of_hash(&hash.finalize().into(), NAME_CHARACTERS);
        let name = lasting_name(end, &hash);
        Some(Role { name, topics })
    }
}

/// When a role ends whose client ends then: one of few moments, so that many clients share it.
fn role_end(end: Micros, lifetime: Duration) -> Micros {
    let span = i64::try_from((lifetime * LIFETIMES).as_micros())
        .unwrap_or(i64::MAX)
        .max(1_000);
    let span = span / 1_000 * 1_000;
    let ends = end.get().div_euclid(span).saturating_add(1);
    Micros::new(ends.saturating_mul(span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{passes::lasting_name_end, testing::open_passes};

    fn rights(text: &str) -> Rights {
        let text = format!("[[mqtt.targets]]\nurl = \"mqtt://u:p@h\"\n{text}");
        let config: Config = toml::from_str(&text).unwrap();
        Rights::of(&config, &config.mqtt.targets[0])
    }

    #[test]
    fn roles_are_shared_and_named_by_their_topics() {
        let (one, two) = (
            rights("[[modules]]\nname = \"orders\"\n"),
            rights("[[modules]]\nname = \"orders\"\n[[modules]]\nname = \"stock\"\n"),
        );
        let (passes, hour) = (open_passes(), Duration::from_hours(1));
        let own = ["u1", "u2"].map(Audience::stored);
        let end = Micros::new(1_000_000_000_000);
        let roles = one.roles(&passes, (&Who::Open, &own), end);
        let topics: Vec<_> = roles.iter().map(|role| role.topics.join(" ")).collect();
        assert_eq!(
            topics,
            [
                "changeover/c/orders/_all changeover/m/orders",
                "changeover/c/orders/u1",
                "changeover/c/orders/u2"
            ]
        );
        let soon = one.roles(&passes, (&Who::Open, &own[1..]), end.plus(hour / 100));
        assert_eq!(soon, [roles[0].clone(), roles[2].clone()]);
        let more = two.roles(&passes, (&Who::Open, &own), end);
        assert!(
            roles
                .iter()
                .all(|role| more.iter().all(|other| other.name != role.name))
        );
        let ends = lasting_name_end(&roles[0].name).unwrap();
        assert!(ends > end && ends.since(end) <= passes.lifetime() * LIFETIMES);
        assert_eq!(role_end(ends, hour), role_end(ends.plus(hour / 2), hour));
    }

    #[test]
    fn the_end_is_after_that_of_every_client() {
        let hour = Duration::from_hours(1);
        for end in [0, 1, 3_600_000_000, 14_400_000_000, 14_399_999_999] {
            assert!(role_end(Micros::new(end), hour) > Micros::new(end));
        }
    }
}
