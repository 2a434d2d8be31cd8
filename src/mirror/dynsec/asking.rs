//! Questions to the plugin, counted, and what their answers mean.

use super::{
    Trouble,
    command::{Command, Response},
    desk::Desk,
    exchange::Exchange,
};
use crate::telemetry::metric;

/// Names in one answer.
const PAGE: usize = 500;
/// Answers in one survey: what a broker has beyond is not looked at.
const PAGES: usize = 400;

/// Asks, and counts what came of it.
pub(super) async fn ask(
    desk: &Desk,
    broker: &mut Exchange,
    commands: &[Command],
) -> Result<Vec<Response>, Trouble> {
    let answers = broker.ask(commands).await;
    for (at, command) in commands.iter().enumerate() {
        let outcome = match answers.as_ref().map(|answers| &answers[at]) {
            Err(_) => "unanswered",
            Ok(answer) if answer.was_so() => "known",
            Ok(answer) if answer.is_done() => "done",
            Ok(_) => "refused",
        };
        let labels = [
            ("target", desk.target.clone()),
            ("command", command.name.to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        metrics::counter!(metric::DYNSEC_COMMANDS, &labels).increment(1);
    }
    answers
}

/// The names of a list, page by page.
pub(super) async fn list(
    desk: &Desk,
    broker: &mut Exchange,
    of: &str,
    page: fn(usize, usize) -> Command,
) -> Result<Vec<String>, Trouble> {
    let mut names = Vec::new();
    for _ in 0..PAGES {
        let answers = ask(desk, broker, &[page(names.len(), PAGE)]).await?;
        let data = &succeeded(&answers[0])?.data;
        let listed = data[of].as_array().ok_or(Trouble::Unreadable)?;
        let count = listed.len();
        let texts = listed.iter().filter_map(|name| name.as_str());
        names.extend(texts.map(str::to_owned));
        if count < PAGE {
            break;
        }
    }
    Ok(names)
}

/// What has come of a command: what is so already is no failure.
pub(super) fn succeeded(response: &Response) -> Result<&Response, Trouble> {
    match &response.error {
        Some(why) if !response.is_done() => Err(Trouble::Failed {
            command: response.command.clone(),
            why: why.clone(),
        }),
        _ => Ok(response),
    }
}

/// What clients could do beyond their roles.
const DENIED: [&str; 3] = ["publishClientSend", "publishClientReceive", "subscribe"];

/// Whether what no role allows is denied, by the answer to [`Command::defaults`].
pub(super) fn check_defaults(data: &serde_json::Value) -> Result<(), Trouble> {
    let acls = data["acls"].as_array().ok_or(Trouble::Unreadable)?;
    let is_denied = |kind: &&&str| {
        let mut acls = acls.iter().filter(|acl| acl["acltype"] == **kind);
        acls.any(|acl| acl["allow"] == false)
    };
    match DENIED.iter().find(|kind| !is_denied(kind)) {
        Some(kind) => Err(Trouble::Permissive(kind)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_denied_counts_as_allowed() {
        let denied = |kind: &str| json!({"acltype": kind, "allow": false});
        let mut acls: Vec<_> = DENIED.iter().map(|kind| denied(kind)).collect();
        acls.push(json!({"acltype": "unsubscribe", "allow": true}));
        assert_eq!(check_defaults(&json!({ "acls": acls })), Ok(()));
        for (at, kind) in DENIED.iter().enumerate() {
            let mut allowed = acls.clone();
            allowed[at]["allow"] = true.into();
            let told = check_defaults(&json!({ "acls": allowed }));
            assert_eq!(told, Err(Trouble::Permissive(kind)));
            allowed.remove(at);
            let told = check_defaults(&json!({ "acls": allowed }));
            assert_eq!(told, Err(Trouble::Permissive(kind)));
        }
        assert_eq!(check_defaults(&json!({})), Err(Trouble::Unreadable));
    }
}
