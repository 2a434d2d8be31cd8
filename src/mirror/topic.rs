//! Topics: from module and audience to the name on the broker.
//!
//! Invariant: two channels never share a topic, and no audience can reach outside its level of
//! the topic or make a wildcard of it.

use std::fmt::Write;

use crate::domain::{Audience, ModuleName};

/// The longest topic that MQTT can carry, in bytes.
pub const MAX_BYTES: usize = 65_535;

/// The topics below one prefix.
#[derive(Debug, Clone)]
pub struct Topics {
    prefix: Box<str>,
}

impl Topics {
    /// Topics below `mqtt.topic_prefix`.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.trim_end_matches('/').into(),
        }
    }

    /// Where the changes of a channel go: `{prefix}/c/{module}/{audience}`.
    pub fn channel(&self, module: &ModuleName, audience: &Audience) -> String {
        let mut topic = self.below('c', module);
        topic.push('/');
        push_audience(&mut topic, audience);
        topic
    }

    /// All channels of a module, as a filter.
    pub fn channels(&self, module: &ModuleName) -> String {
        let mut filter = self.below('c', module);
        filter.push_str("/+");
        filter
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

    /// The retained messages of all modules, as a filter.
    pub fn bookmarks(&self) -> String {
        format!("{}/m/+", self.prefix)
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
