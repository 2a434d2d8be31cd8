//! What each kind of caller has to enter a broker with.

use changeover::identity::passes::Issued;
use serde_json::json;

use super::{KINDS, MODULES, started};
use crate::support::{
    callers::{self, Credential},
    eventually,
    gateway::{Client, InProcess, Setup},
    native::PATIENCE,
    streams::sqlite,
};

pub const SECRET: &str = "hooks-secret-0123456789";

/// So long the pass of whose time is over is good: it has to be given out first.
const BRIEF_S: i64 = 3;

/// Longer than a broker takes to start on a busy machine, and all doors after it.
const LONG_S: i64 = 3_600;

/// What somebody shows a broker.
pub struct Shown {
    pub client_id: String,
    pub with: Option<Issued>,
}

/// A gateway with hooks and these targets, and what each of [`super::CALLERS`] shows, in that order.
pub async fn gateway(targets: &str) -> (InProcess, [Shown; KINDS]) {
    let database = sqlite().await;
    let setup = |modules: &str, auth: &str| {
        Setup::new(&database, "gw-1")
            .modules(modules)
            .add(targets)
            .add(auth)
            .set("broker_hooks.secret", SECRET)
            .set("guard.enabled", false)
    };
    let now = callers::auth();
    // Once there were others, whom nobody knows any more.
    let before = MODULES.replace("\"accounts\"", "\"accounts\", \"gone\"");
    let once = setup(&before, &format!("{now}{}", callers::old_auth()));
    let once = InProcess::start(&once).await;
    let revoked = shown(&once.client, &Credential::revoked("u1")).await;
    once.stop().await;

    let gateway = started(&setup(MODULES, &now)).await;
    let client = &gateway.client;
    let brief = Credential::until("u1", BRIEF_S);
    let over = shown(client, &brief).await;
    eventually("its time is over", PATIENCE, async || {
        let url = format!("{}/v1/streams/commission", client.public);
        let answer = client.send(brief.on(client.http.get(url))).await;
        (answer.status.as_u16() == 401).then_some(())
    })
    .await;
    let nobody = Shown {
        client_id: "nobody".to_owned(),
        with: None,
    };
    let all = [
        nobody,
        over,
        forged(shown(client, &Credential::until("u1", LONG_S)).await),
        revoked,
        shown(client, &Credential::until("u2", LONG_S)).await,
        shown(client, &Credential::Key).await,
        shown(client, &Credential::until("u1", LONG_S)).await,
    ];
    (gateway, all)
}

async fn shown(client: &Client, credential: &Credential) -> Shown {
    let request = client.http.post(format!("{}/v1/session", client.public));
    let answer = client.send(credential.on(request).json(&json!({}))).await;
    let told = answer.json();
    let text = |name: &str| {
        let text = told["mqtt"][name].as_str();
        text.unwrap_or_else(|| panic!("{name}: {told}")).to_owned()
    };
    Shown {
        client_id: text("client_id"),
        with: Some(Issued {
            username: text("username"),
            password: text("password"),
        }),
    }
}

/// The same with a name and a password that are not signed.
fn forged(mut shown: Shown) -> Shown {
    if let Some(with) = &mut shown.with {
        for text in [&mut with.username, &mut with.password] {
            let at = text.len() - 10;
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            text.replace_range(at..=at, other);
        }
    }
    shown
}
