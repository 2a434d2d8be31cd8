//! What MQTT client ids must hold whatever a client calls itself.

use super::client_id::of;
use crate::{domain::Audience, identity::Who};

/// What ids begin with on some brokers, and the longest that some take.
const BROKERS: [(&str, usize); 3] = [("", 65_535), ("", 23), ("GID_a@@@", 64)];

/// Makes ids of what a client calls itself: plain, short, and of nobody else.
pub fn client_id(said: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let audiences = [Audience::stored("u1")];
    for (group, longest) in BROKERS {
        let id = of(group, (&Who::Open, &[]), said, longest);
        let own = id.strip_prefix(group).expect("each begins with it");
        assert!(id.len() <= longest.min(64), "{id}");
        assert!(own.len() >= 12 && own.bytes().all(plain), "{id}");
        let others = [
            of(group, (&Who::Open, &audiences), said, longest),
            of(group, (&Who::Open, &[]), &format!("{said}_"), longest),
            of(group, (&Who::Open, &[]), &format!("-{said}"), longest),
        ];
        assert!(!others.contains(&id), "two clients, two ids");
    }
}
