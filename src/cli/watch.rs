//! `changeover watch`: shows what a broker delivers of one module.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::Value;

use super::{Failure, Globals};
use crate::{
    config::{Config, mqtt},
    domain::{Audience, Invalid, ModuleName},
    mirror::{
        mqtt::{
            Endpoint,
            subscriber::{Heard, listen},
        },
        topic::Topics,
    },
};

/// What `watch` takes.
#[derive(Debug, Args)]
pub struct Watch {
    /// The module.
    module: ModuleName,
    /// Only this audience; without it, all.
    #[arg(long, value_parser = audience)]
    audience: Option<Audience>,
    /// The target whose broker is listened to; without it, the first one that gets the module.
    #[arg(long)]
    target: Option<String>,
}

impl Watch {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let config = globals.load()?;
        let is_named = config
            .modules
            .iter()
            .any(|m| m.name == self.module.as_str());
        if !is_named && !config.modules.is_empty() {
            return Err(anyhow!("no module {} is configured", self.module).into());
        }
        let target = self.target(&config)?;
        let endpoint = Endpoint::of(&target).map_err(|why| anyhow!("mqtt.targets: {why}"))?;
        let longest = target.broker_limits().topic_bytes;
        let topics = Topics::within(target.effective_prefix(&config.mqtt), longest);
        let (mut out, terminal) = (io::stdout(), io::stdout().is_terminal());
        let audience = self.audience.as_ref();
        watch(
            endpoint,
            &topics,
            &self.module,
            audience,
            &mut out,
            terminal,
        )
        .await?;
        Ok(())
    }

    fn target(&self, config: &Config) -> anyhow::Result<mqtt::Target> {
        let module = &self.module;
        let mut targets = config.mqtt.effective_targets().into_iter();
        let wanted = |target: &mqtt::Target| {
            let named = self.target.as_ref().is_none_or(|name| *name == target.name);
            named && target.takes(module)
        };
        targets.find(wanted).with_context(|| match &self.target {
            Some(name) => {
                format!("no target {name} that gets {module} is configured: see mqtt.targets")
            }
            None => format!("no target that gets {module} is configured: see mqtt.targets"),
        })
    }
}

fn audience(text: &str) -> Result<Audience, Invalid> {
    text.to_owned().try_into()
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
