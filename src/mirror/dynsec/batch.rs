//! The clients of those who wait, as the commands of one message.
//!
//! Invariants: a client is in it once, whoever waits for it, and after its roles; a role that the broker has is not.

use std::collections::{HashMap, HashSet};

use tokio::sync::oneshot;

use super::{command::Command, desk::Desk, held::Wanted};

/// Commands of one message, and for whom they are.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<Command>,
    bytes: usize,
    pub(super) clients: Vec<Making>,
    /// Roles that are made, and by which command.
    pub(super) roles: Vec<(usize, String)>,
    /// Where among the clients one is.
    by_name: HashMap<String, usize>,
}

/// A client that is made, by which command, and who waits for it.
pub(super) struct Making {
    pub(super) at: usize,
    pub(super) wanted: Wanted,
    pub(super) waiting: Vec<oneshot::Sender<bool>>,
}

/// A message is not made longer than about this.
const MESSAGE_BYTES: usize = 64 * 1024;

impl Batch {
    /// For those who wait, as many as one message holds. `roles` are there already.
    pub(super) fn gather(desk: &Desk, roles: &HashSet<String>) -> Self {
        let mut batch = Self::default();
        while batch.clients.len() < desk.settings.batch && batch.bytes < MESSAGE_BYTES {
            let Some(next) = desk.next() else {
                break;
            };
            batch.add(next.wanted, next.told, roles);
        }
        batch
    }

    fn add(&mut self, wanted: Wanted, told: oneshot::Sender<bool>, roles: &HashSet<String>) {
        if let Some(&at) = self.by_name.get(&wanted.issued.username) {
            self.clients[at].waiting.push(told);
            return;
        }
        for role in &wanted.roles {
            let is_coming = self.roles.iter().any(|(_, name)| *name == role.name);
            if !is_coming && !roles.contains(&role.name) {
                self.roles.push((self.commands.len(), role.name.clone()));
                // An entry has its topic twice, and words around it.
                let topics = role.topics.iter().map(|topic| 2 * (topic.len() + 80));
                self.bytes += topics.sum::<usize>();
                self.commands.push(Command::make_role(role));
            }
        }
        let (issued, at) = (&wanted.issued, self.commands.len());
        let command = Command::make_client(issued, &wanted.client_id, &wanted.roles);
        self.commands.push(command);
        self.by_name
            .insert(issued.username.clone(), self.clients.len());
        let waiting = vec![told];
        self.clients.push(Making {
            at,
            wanted,
            waiting,
        });
    }
}
