//! What is wrong with a single target, each at its key.

use super::{Target, check_topic_prefix};
use crate::config::{
    Problems,
    endpoint::{BrokerKind, Endpoint},
};

/// The longest target name.
const TARGET_NAME_BYTES: usize = 32;

impl Target {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let name = &self.name;
        if name.is_empty() || name.len() > TARGET_NAME_BYTES || !name.bytes().all(plain) {
            problems.push(
                format!("{path}.name"),
                format!("must be 1 to {TARGET_NAME_BYTES} characters of a-z, 0-9 and `-`"),
            );
        }
        if let Some(why) = self
            .topic_prefix
            .as_deref()
            .and_then(|p| check_topic_prefix(p).err())
        {
            problems.push(format!("{path}.topic_prefix"), why);
        }
        match Endpoint::parse(&self.url) {
            Ok(endpoint) => {
                self.validate_kind(&endpoint, path, problems);
                self.validate_link(&endpoint, path, problems);
            }
            Err(why) => problems.push(format!("{path}.url"), why),
        }
        self.limits.validate(&format!("{path}.limits"), problems);
        let public = [
            ("public_url", &self.public_url, ["mqtt", "mqtts"]),
            (
                "public_websocket_url",
                &self.public_websocket_url,
                ["ws", "wss"],
            ),
        ];
        for (key, url, schemes) in public {
            if let Some(why) = url.as_deref().and_then(|url| check_public(url, schemes)) {
                problems.push(format!("{path}.{key}"), why);
            }
        }
    }

    fn validate_kind(&self, endpoint: &Endpoint, path: &str, problems: &mut Problems) {
        let embedded = endpoint.kind == BrokerKind::Embedded;
        if embedded && !cfg!(feature = "embedded-broker") {
            problems.push(
                format!("{path}.url"),
                "this build has no embedded broker: use mqtt://host:1883, or build with the feature `embedded-broker`",
            );
        }
        if !embedded && self.websocket.is_some() {
            problems.push(
                format!("{path}.websocket"),
                "is for embedded:// targets: an external broker opens its own, say where with public_websocket_url",
            );
        }
    }
}

fn check_public(url: &str, schemes: [&str; 2]) -> Option<String> {
    let [plain, tls] = schemes;
    let parsed = match url::Url::parse(url) {
        Ok(parsed) if schemes.contains(&parsed.scheme()) => parsed,
        _ => return Some(format!("must be a {plain}:// or {tls}:// URL")),
    };
    if parsed.host_str().is_none_or(str::is_empty) {
        return Some(format!("names no host: write {plain}://host:port"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Some("must not hold a user or password: every client is told this URL".to_owned());
    }
    None
}
