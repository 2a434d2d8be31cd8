//! What topics must hold whatever somebody calls itself.

use percent_encoding::percent_decode_str;

use super::topic::Topics;
use crate::domain::{Audience, ModuleName, strangers::Pieces};

const MODULE: &str = "m1";

/// Makes topics of audiences, and reads topics of strangers.
pub fn topic(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let most_bytes = 40 + pieces.choice(256);
    let texts = [pieces.text(), pieces.text()];
    let module: ModuleName = MODULE.parse().expect("a name");
    let (all, short) = (Topics::new("a/b"), Topics::within("a/b", most_bytes));
    let audiences = texts.map(|text| Audience::new(text, 1_024).ok());
    for audience in audiences.iter().flatten() {
        let level = level(&all, &module, audience);
        assert_eq!(read_back(&level).as_deref(), Some(audience.as_str()));
        assert!(short.can_be(&short.channel(&module, audience)));
    }
    if let [Some(one), Some(other)] = audiences {
        for topics in [&all, &short] {
            let is_same = level(topics, &module, &one) == level(topics, &module, &other);
            assert_eq!(is_same, one == other, "two audiences, two topics");
        }
    }
    of_a_stranger(&all, texts[0]);
}

/// The last level of a channel's topic, which is one level and no wildcard.
fn level(topics: &Topics, module: &ModuleName, audience: &Audience) -> String {
    let topic = topics.channel(module, audience);
    let level = topic.strip_prefix("a/b/c/m1/").expect("below its module");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=".contains(&byte);
    assert!(!level.is_empty() && level.bytes().all(plain), "{topic}");
    assert_eq!(topics.channel_module(&topic), Some(MODULE));
    level.to_owned()
}

/// As a client may: `=` is written where other texts have `%`.
fn read_back(level: &str) -> Option<String> {
    if level == "_all" {
        return Some("*".to_owned());
    }
    let percented = level.replace('=', "%");
    let text = percent_decode_str(&percented).decode_utf8().ok()?;
    Some(text.into_owned())
}

/// What is no topic of ours names no module of ours.
fn of_a_stranger(topics: &Topics, topic: &str) {
    if let Some(module) = topics.bookmark_module(topic) {
        assert_eq!(topics.bookmark(&module), topic);
    }
    if let Some(module) = topics.channel_module(topic) {
        assert!(topic.starts_with(&format!("a/b/c/{module}/")));
    }
}
