//! A connection to the plugin: one message of commands at a time, and the answer to it.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Trouble,
    command::{self, Command, Response},
};
use crate::mirror::mqtt::{Link, LinkOptions, Signal};

/// A connection that was let in and listens to answers.
#[derive(Debug)]
pub(super) struct Exchange {
    link: Link,
    /// What answers to us are known by, among those to other replicas.
    mark: String,
    messages: u64,
    patience: Duration,
}

impl Exchange {
    /// Connects and listens. Each connection has a `number` that no other has.
    pub(super) async fn open(
        options: &LinkOptions,
        number: u64,
        patience: Duration,
    ) -> Result<Self, Trouble> {
        let mut exchange = Self {
            link: Link::open(options),
            mark: format!("co-{number:016x}"),
            messages: 0,
            patience,
        };
        let listening = timeout(patience, exchange.listen()).await;
        listening.map_err(|_late| Trouble::NotLetIn(patience))??;
        Ok(exchange)
    }

    async fn listen(&mut self) -> Result<(), Trouble> {
        loop {
            for signal in self.signals().await? {
                match signal {
                    Signal::Connected { .. } => {
                        // If the link is gone already, its end follows.
                        let responses = [command::RESPONSES.to_owned()];
                        let _gone = self.link.subscribe(&responses, true);
                    }
                    Signal::Subscribed(grant) if grant.is_granted() => return Ok(()),
                    Signal::Subscribed(_) => return Err(Trouble::NotHeard),
                    _ => {}
                }
            }
        }
    }

    /// Has these carried out, in their order. Each is answered.
    pub(super) async fn ask(&mut self, commands: &[Command]) -> Result<Vec<Response>, Trouble> {
        self.messages += 1;
        let mark = format!("{}-{}", self.mark, self.messages);
        let message = command::message(commands, &mark);
        let sent = self
            .link
            .publish(command::COMMANDS, message.into(), false, "application/json");
        sent.map_err(|not| Trouble::Closed(not.to_string()))?;
        let answered = timeout(self.patience, self.answer(&mark)).await;
        let responses = answered.map_err(|_late| Trouble::Silent(self.patience))??;
        if responses.len() == commands.len() {
            Ok(responses)
        } else {
            Err(Trouble::Unreadable)
        }
    }

    async fn answer(&mut self, mark: &str) -> Result<Vec<Response>, Trouble> {
        let mut answered = None;
        loop {
            for signal in self.signals().await? {
                match signal {
                    Signal::Message { payload, .. } => {
                        answered = answered.or_else(|| command::responses(&payload, mark));
                    }
                    Signal::Refused(_, why) => return Err(Trouble::Refused(why)),
                    _ => {}
                }
            }
            if let Some(answered) = answered.take() {
                return Ok(answered);
            }
        }
    }

    /// Waits until the connection is over.
    pub(super) async fn ended(&mut self) -> Trouble {
        loop {
            if let Err(trouble) = self.signals().await {
                return trouble;
            }
        }
    }

    /// What has come. Cancel-safe.
    async fn signals(&mut self) -> Result<Vec<Signal>, Trouble> {
        let gone = || vec![Signal::Closed("its task has ended".to_owned())];
        let signals = self.link.next().await.unwrap_or_else(gone);
        let why = signals.iter().find_map(|signal| match signal {
            Signal::Closed(why) => Some(why.clone()),
            _ => None,
        });
        why.map_or(Ok(signals), |why| Err(Trouble::Closed(why)))
    }
}
