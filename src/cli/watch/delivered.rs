//! What one broker delivers of a module, of all audiences, as it comes: for who wants to see the broker.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, anyhow};
use serde_json::Value;

use crate::{
    cli::Failure,
    config::{Config, mqtt},
    domain::{Audience, ModuleName},
    mirror::{
        mqtt::{
            Endpoint,
            subscriber::{Heard, listen},
        },
        topic::Topics,
    },
};

/// What a target's broker delivers of a module.
pub(super) struct Delivered<'a> {
    pub(super) module: &'a ModuleName,
    pub(super) audience: Option<&'a Audience>,
    pub(super) target: &'a str,
}

impl Delivered<'_> {
    pub(super) async fn show(&self, config: &Config) -> Result<(), Failure> {
        let is_named = config
            .modules
            .iter()
            .any(|m| m.name == self.module.as_str());
        if !is_named && !config.modules.is_empty() {
            return Err(anyhow!("no module {} is configured", self.module).into());
        }
        let target = self.target(config)?;
        let endpoint = Endpoint::of(&target).map_err(|why| anyhow!("mqtt.targets: {why}"))?;
        let longest = target.broker_limits().topic_bytes;
        let topics = Topics::within(target.effective_prefix(&config.mqtt), longest);
        let (mut out, terminal) = (io::stdout(), io::stdout().is_terminal());
        watch(
            endpoint,
            &topics,
            self.module,
            self.audience,
            &mut out,
            terminal,
        )
        .await?;
        Ok(())
    }

    fn target(&self, config: &Config) -> anyhow::Result<mqtt::Target> {
        let (module, name) = (self.module, self.target);
        let mut targets = config.mqtt.effective_targets().into_iter();
        let found = targets.find(|target| target.name == name && target.takes(module));
        found.with_context(|| {
            format!("no target {name} that gets {module} is configured: see mqtt.targets")
        })
    }
}

/// Prints the events of a module, or of one of its audiences, and its retained message, one line each, until
/// interrupted. On a terminal the lines are short; elsewhere each is the JSON as it came.
async fn watch(
    endpoint: Endpoint,
    topics: &Topics,
    module: &ModuleName,
    audience: Option<&Audience>,
    out: &mut (impl Write + Send),
    terminal: bool,
) -> anyhow::Result<()> {
    let changes = match audience {
        Some(audience) => topics.channel(module, audience),
        None => topics.channels(module),
    };
    let filters = [changes, topics.bookmark(module)];
    let mut failure = None;
    let listening = listen(endpoint, &filters, |heard| {
        failure = show(&heard, out, terminal).err();
        failure.is_none()
    });
    tokio::select! {
        ended = listening => ended.with_context(|| format!("cannot watch {module}"))?,
        interrupted = tokio::signal::ctrl_c() => return interrupted.context("cannot wait for an interrupt"),
    }
    match failure {
        // The reader of the pipe has seen enough.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Some(error) => Err(error).context("cannot write"),
        None => Ok(()),
    }
}

fn show(heard: &Heard, out: &mut impl Write, terminal: bool) -> io::Result<()> {
    match heard {
        Heard::Message { payload, .. } if terminal => writeln!(out, "{}", summary(payload))?,
        Heard::Message { payload, .. } => {
            out.write_all(payload)?;
            out.write_all(b"\n")?;
        }
        Heard::Listening => tracing::info!("listening"),
        Heard::Away(reason) => tracing::warn!(reason, "not connected, trying again"),
    }
    out.flush()
}

/// A message for eyes. Control characters never reach the terminal.
fn summary(payload: &[u8]) -> String {
    let Ok(message) = serde_json::from_slice::<Value>(payload) else {
        return String::from_utf8_lossy(payload).escape_debug().to_string();
    };
    let text = |name: &str| {
        message[name]
            .as_str()
            .unwrap_or("")
            .escape_debug()
            .to_string()
    };
    if message.get("specversion").is_none() {
        return format!(
            "-- head {} generation {} stage {}",
            message["head"],
            message["generation"],
            text("stage_effective")
        );
    }
    let sequence = text("sequence");
    let position = sequence.trim_start_matches('0');
    let kind = text("type");
    let op = kind.strip_prefix("changeover.").unwrap_or(&kind);
    format!(
        "{position:>8}  {}  {op}  {}  {}",
        text("audience"),
        text("subject"),
        message["data"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_eyes_holds_no_control_characters() {
        let event = r#"{"specversion":"1.0","type":"changeover.upsert","subject":"k\u001b[2J","sequence":"00000000000000000012","audience":"*","data":{"a":"\u0007"}}"#;
        let line = summary(event.as_bytes());
        assert_eq!(
            line,
            "      12  *  upsert  k\\u{1b}[2J  {\"a\":\"\\u0007\"}"
        );
        assert_eq!(summary(b"\x1b"), "\\u{1b}");
    }
}
