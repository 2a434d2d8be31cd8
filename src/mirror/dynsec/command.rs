//! What is said to the plugin, and what it answers.
//!
//! Every client that listens is sent all answers, those to other replicas too: an answer is ours if it carries our mark.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::rights::Role;
use crate::identity::passes::Issued;

/// Where commands go.
pub(super) const COMMANDS: &str = "$CONTROL/dynamic-security/v1";
/// Where answers come from.
pub(super) const RESPONSES: &str = "$CONTROL/dynamic-security/v1/response";

/// A command.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// May hold a password.
    members: Value,
}

/// Its name alone.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Command").field(&self.name).finish()
    }
}

/// The answer to one command.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) command: String,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) data: Value,
    #[serde(default, rename = "correlationData")]
    mark: Option<String>,
}

#[derive(Deserialize)]
struct Responses {
    responses: Vec<Response>,
}

impl Command {
    const fn new(name: &'static str, members: Value) -> Self {
        Self { name, members }
    }

    pub(super) fn defaults() -> Self {
        Self::new("getDefaultACLAccess", json!({}))
    }

    /// Names of clients, from the `offset`th on.
    pub(super) fn clients(offset: usize, count: usize) -> Self {
        let members = json!({"verbose": false, "count": count, "offset": offset});
        Self::new("listClients", members)
    }

    /// Names of roles, from the `offset`th on.
    pub(super) fn roles(offset: usize, count: usize) -> Self {
        let members = json!({"verbose": false, "count": count, "offset": offset});
        Self::new("listRoles", members)
    }

    pub(super) fn make_role(role: &Role) -> Self {
        let acl = |kind: &str, topic: &String| json!({"acltype": kind, "topic": topic, "priority": 0, "allow": true});
        let topics = role.topics.iter();
        let acls: Vec<_> = topics
            .flat_map(|topic| {
                [
                    acl("subscribeLiteral", topic),
                    acl("publishClientReceive", topic),
                ]
            })
            .collect();
        Self::new("createRole", json!({"rolename": role.name, "acls": acls}))
    }

    pub(super) fn make_client(issued: &Issued, client_id: &str, roles: &[Role]) -> Self {
        let roles: Vec<_> = roles
            .iter()
            .map(|role| json!({"rolename": role.name}))
            .collect();
        let members = json!({
            "username": issued.username, "password": issued.password, "clientid": client_id, "roles": roles,
        });
        Self::new("createClient", members)
    }

    pub(super) fn remove_client(name: &str) -> Self {
        Self::new("deleteClient", json!({"username": name}))
    }

    pub(super) fn remove_role(name: &str) -> Self {
        Self::new("deleteRole", json!({"rolename": name}))
    }
}

/// Several commands as one message, each with this mark.
pub(super) fn message(commands: &[Command], mark: &str) -> Vec<u8> {
    let written = commands.iter().map(|command| {
        let mut members = command.members.clone();
        members["command"] = command.name.into();
        members["correlationData"] = mark.into();
        members
    });
    let commands: Vec<_> = written.collect();
    json!({ "commands": commands }).to_string().into_bytes()
}

/// The answers to a message with this mark, in the order of its commands; none if it answers another one.
pub(super) fn responses(payload: &[u8], mark: &str) -> Option<Vec<Response>> {
    let Responses { responses } = serde_json::from_slice(payload).ok()?;
    let first = responses.first()?;
    (first.mark.as_deref() == Some(mark)).then_some(responses)
}

impl Response {
    /// Whether what was to be made is there, and what was to be removed is gone.
    pub(super) fn is_done(&self) -> bool {
        self.error.is_none() || self.was_so()
    }

    /// Whether it was so before.
    pub(super) fn was_so(&self) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        let made = self.command.starts_with("create") && error.ends_with("already exists");
        // A role that a new client is to have is something else.
        let removed = self.command.starts_with("delete") && error.ends_with("not found");
        made || removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_each_command_and_its_answer_is_known_by_the_mark() {
        let issued = Issued {
            username: "co2.1".to_owned(),
            password: "secret".to_owned(),
        };
        let role = Role {
            name: "co2.r".to_owned(),
            topics: vec!["co/c/orders/u1".to_owned()],
        };
        let roles = [role];
        let commands = [
            Command::make_role(&roles[0]),
            Command::make_client(&issued, "id", &roles),
        ];
        let said: Value = serde_json::from_slice(&message(&commands, "m-1")).unwrap();
        let expected = json!({"commands": [
            {"command": "createRole", "correlationData": "m-1", "rolename": "co2.r", "acls": [
                {"acltype": "subscribeLiteral", "topic": "co/c/orders/u1", "priority": 0, "allow": true},
                {"acltype": "publishClientReceive", "topic": "co/c/orders/u1", "priority": 0, "allow": true},
            ]},
            {"command": "createClient", "correlationData": "m-1", "username": "co2.1", "password": "secret",
             "clientid": "id", "roles": [{"rolename": "co2.r"}]},
        ]});
        assert_eq!(said, expected);
        assert_eq!(format!("{:?}", commands[1]), r#"Command("createClient")"#);
        let answer = br#"{"responses":[{"command":"createRole","error":"Role already exists","correlationData":"m-1"},{"command":"createClient","error":"Role not found","correlationData":"m-1"}]}"#;
        assert!(responses(answer, "m-2").is_none());
        assert!(responses(b"[]", "m-1").is_none());
        let read = responses(answer, "m-1").unwrap();
        assert!(read[0].is_done() && read[0].was_so());
        assert!(!read[1].is_done());
    }
}
