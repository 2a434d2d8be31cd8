//! Topics: from module and audience to the name on the broker.
//!
//! Invariant: two channels never share a topic, and no audience can reach outside its level of
//! the topic or make a wildcard of it. What would be longer than the broker takes has a hash in the
//! audience's place: nothing that is escaped begins like it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::base32;
use crate::domain::{Audience, ModuleName};

/// The longest topic that MQTT can carry, in bytes.
pub const MAX_BYTES: usize = 65_535;

/// The topics below one prefix.
#[derive(Debug, Clone)]
pub struct Topics {
    prefix: Box<str>,
    most_bytes: usize,
}

/// What stands before a hash: no escaped byte begins so, because hexadecimal is written in upper case.
const HASH_MARK: &str = "=h";

/// Characters of the hash, of five bits each.
const HASH_CHARACTERS: usize = 26;

impl Topics {
    /// Topics below `mqtt.topic_prefix`.
    pub fn new(prefix: &str) -> Self {
        Self::within(prefix, MAX_BYTES)
    }

    /// The same for a broker that takes topics of at most so many bytes.
    pub fn within(prefix: &str, most_bytes: usize) -> Self {
        Self {
            prefix: prefix.trim_end_matches('/').into(),
            most_bytes,
        }
    }

    /// Where the changes of a channel go: `{prefix}/c/{module}/{audience}`, and where that is too long
    /// `{prefix}/c/{module}/=h{hash}`.
    pub fn channel(&self, module: &ModuleName, audience: &Audience) -> String {
        let mut topic = self.below('c', module);
        topic.push('/');
        let level = topic.len();
        push_audience(&mut topic, audience);
        if topic.len() > self.most_bytes && !audience.is_everyone() {
            topic.truncate(level);
            push_hash(&mut topic, audience);
        }
        topic
    }

    /// Whether the broker takes a topic at all.
    pub fn can_be(&self, topic: &str) -> bool {
        topic.len() <= self.most_bytes
    }

    /// All channels of a module, as a filter.
    pub fn channels(&self, module: &ModuleName) -> String {
        let mut filter = self.below('c', module);
        filter.push_str("/+");
        filter
    }

    /// What the topics of a module's channels begin with, up to the audience.
    pub fn module(&self, module: &ModuleName) -> String {
        self.below('c', module)
    }

    /// All channels of all modules, as a filter.
    pub fn every_channel(&self) -> String {
        format!("{}/c/+/+", self.prefix)
    }

    /// The module's name in the topic of a channel.
    pub fn channel_module<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let rest = topic.strip_prefix(&*self.prefix)?.strip_prefix("/c/")?;
        rest.split_once('/').map(|(module, _audience)| module)
    }

    /// Where the retained message of a module stands: `{prefix}/m/{module}`.
    pub fn bookmark(&self, module: &ModuleName) -> String {
        self.below('m', module)
    }

    /// A topic where nothing is ever published, for the session of this client: beside the retained messages, so that
    /// whoever may read those may ask for it, and not the name of a module, because of its `_`.
    pub fn session(&self, client_id: &str) -> String {
        format!("{}/m/_{client_id}", self.prefix)
    }

    /// The module whose retained message stands at `topic`.
    pub fn bookmark_module(&self, topic: &str) -> Option<ModuleName> {
        let rest = topic.strip_prefix(&*self.prefix)?;
        rest.strip_prefix("/m/")?.parse().ok()
    }

    fn below(&self, kind: char, module: &ModuleName) -> String {
        let mut topic = String::with_capacity(self.prefix.len() + 64);
        topic.push_str(&self.prefix);
        topic.push('/');
        topic.push(kind);
        topic.push('/');
        topic.push_str(module.as_str());
        topic
    }
}

/// `*` is `_all`; an audience's own leading `_` is escaped, so that none can pose as it.
fn push_audience(topic: &mut String, audience: &Audience) {
    if audience.is_everyone() {
        topic.push_str("_all");
        return;
    }
    for (at, byte) in audience.as_str().bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'_' && at > 0);
        if plain {
            topic.push(char::from(byte));
        } else {
            write!(topic, "={byte:02X}").expect("writing to a string does not fail");
        }
    }
}

/// The first 130 bits of the audience's SHA-256.
fn push_hash(topic: &mut String, audience: &Audience) {
    topic.push_str(HASH_MARK);
    let hash = Sha256::digest(audience.as_str());
    topic.push_str(&base32::of_hash(&hash.into(), HASH_CHARACTERS));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(audience: &str) -> String {
        let module = "commission".parse().unwrap();
        Topics::new("changeover").channel(&module, &Audience::stored(audience))
    }

    #[test]
    fn names_are_as_promised() {
        assert_eq!(topic("*"), "changeover/c/commission/_all");
        assert_eq!(topic("_all"), "changeover/c/commission/=5Fall");
        assert_eq!(topic("a_b-C9"), "changeover/c/commission/a_b-C9");
        assert_eq!(
            topic("a/+#=ü"),
            "changeover/c/commission/a=2F=2B=23=3D=C3=BC"
        );
    }

    #[test]
    fn a_topic_that_is_too_long_has_a_hash() {
        let module: ModuleName = "commission".parse().unwrap();
        let topics = Topics::within("changeover", 64);
        let topic = |audience: &str| topics.channel(&module, &Audience::stored(audience));
        let longest = "a".repeat(40);
        assert_eq!(
            topic(&longest),
            format!("changeover/c/commission/{longest}")
        );
        // printf %s aaaa… | sha256sum | xxd -r -p | base32 | cut -c-26
        assert_eq!(
            topic(&"a".repeat(41)),
            "changeover/c/commission/=hYD4L2TN4FMGAGED4DQ3ZCPZKOU"
        );
        assert_eq!(topic("*"), "changeover/c/commission/_all");
        assert!(topics.can_be(&topic(&"ü".repeat(500))));
    }

    #[test]
    fn a_channel_names_its_module() {
        let topics = Topics::new("a/b");
        assert_eq!(topics.every_channel(), "a/b/c/+/+");
        assert_eq!(topics.channel_module("a/b/c/m1/u/1"), Some("m1"));
        assert_eq!(topics.channel_module("a/b/m/m1"), None);
        assert_eq!(topics.channel_module("a/b/c/m1"), None);
    }

    #[test]
    fn a_bookmark_names_its_module() {
        let topics = Topics::new("a/b/");
        let module: ModuleName = "m1".parse().unwrap();
        assert_eq!(topics.bookmark(&module), "a/b/m/m1");
        assert_eq!(topics.bookmark_module("a/b/m/m1"), Some(module));
        assert_eq!(topics.bookmark_module("a/b/c/m1"), None);
        assert_eq!(topics.bookmark_module(&topics.session("m1")), None);
    }

    proptest! {
        #[test]
        fn two_audiences_never_share_a_topic(a in "[_*=a-f/5Fall ü]{1,6}", b in "[_*=a-f/5Fall ü]{1,6}") {
            prop_assert_eq!(a == b, topic(&a) == topic(&b));
        }

        #[test]
        fn an_audience_stays_within_its_level(a in "\\PC{1,40}") {
            let name = topic(&a);
            let level = name.strip_prefix("changeover/c/commission/").unwrap();
            prop_assert!(!level.is_empty());
            prop_assert!(level.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=".contains(&b)));
        }
    }
}
