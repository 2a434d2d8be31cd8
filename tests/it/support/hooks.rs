//! A gateway whose hooks are asked, and a client that has a session there.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Client, InProcess, Setup},
};

/// What the hooks are asked with.
pub const SECRET: &str = "hooks-secret-0123456789";
/// A topic that the client may subscribe to, and one that is another's.
pub const OWN: &str = "changeover/c/commission/u1";
pub const OTHERS: &str = "changeover/c/commission/u2";

/// The gateway, and with what its client enters.
pub struct Asked {
    pub gateway: InProcess,
    pub client_id: String,
    pub username: String,
    pub password: String,
}

impl Asked {
    /// `others` = what is said of users that are none of ours.
    pub async fn start(others: &str) -> Self {
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let target = "\n[[mqtt.targets]]\nname = \"away\"\nurl = \"mqtt://gateway:s3cret@127.0.0.1:1\"\nprofile = \"emqx\"\n";
        let setup = Setup::new(&database, "gw-1")
            .add(target)
            .set("broker_hooks.secret", SECRET)
            .set("broker_hooks.others", others)
            .set("guard.enabled", false);
        let gateway = InProcess::start(&setup).await;
        let client = &gateway.client;
        let body = json!({"client_id": "t1", "audience": "u1"});
        let asked = client.http.post(format!("{}/v1/session", client.public));
        let told = client.send(asked.json(&body)).await.json();
        let text = |name: &str| told["mqtt"][name].as_str().unwrap().to_owned();
        Self {
            client_id: text("client_id"),
            username: text("username"),
            password: text("password"),
            gateway,
        }
    }

    pub fn client(&self) -> &Client {
        &self.gateway.client
    }

    pub async fn emqx(&self, path: &str, body: &Value) -> Value {
        let path = format!("/broker/{SECRET}/emqx/{path}");
        let answer = self.client().post(&path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        answer.json()
    }

    pub async fn vernemq(&self, hook: &str, body: &Value) -> Value {
        let client = self.client();
        let path = format!("{}/broker/{SECRET}/vernemq", client.private);
        let asked = client.http.post(path).header("vernemq-hook", hook);
        let answer = client.send(asked.json(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        // It would keep an answer that says for how long.
        assert_eq!(answer.header("cache-control"), "");
        answer.json()
    }

    /// Asked by form, and by query: both say the same.
    pub async fn rabbitmq(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let client = self.client();
        let url = format!("{}/broker/{SECRET}/rabbitmq/{path}", client.private);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let posted = client.http.post(&url).body(form.clone());
        let posted = posted.header("content-type", "application/x-www-form-urlencoded");
        let by_form = client.send(posted).await;
        let by_query = client.send(client.http.get(format!("{url}?{form}"))).await;
        for answer in [&by_form, &by_query] {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert!(answer.header("content-type").starts_with("text/plain"));
        }
        assert_eq!(by_form.text, by_query.text);
        by_form.text
    }
}
