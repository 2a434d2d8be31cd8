//! The token by which the tests act at the private listener, and a client that shows it there.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::LazyLock};

use changeover::identity::operators::TokenText;
use http::StatusCode;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::gateway::Client;

/// The text of a token that each gateway of the tests finds in its `auth.admin_token_file`.
pub fn admin() -> &'static str {
    static ADMIN: LazyLock<TokenText> = LazyLock::new(|| {
        let mut bytes = [43; 40];
        bytes[..8].fill(42);
        TokenText::new(&bytes)
    });
    ADMIN.reveal()
}

/// The variable in which the command line looks for a token.
pub const VARIABLE: &str = "CHANGEOVER_TOKEN";

/// Writes it where nobody else can read it.
pub fn provision(file: &Path) {
    fs::write(file, admin()).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Has a token made. Its text.
pub async fn created(client: &Client, body: &Value) -> String {
    let answer = client.post("/admin/v1/tokens", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// The part of a token that is no secret.
pub fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

/// A request that shows it.
pub trait ByAdmin {
    fn by_admin(self) -> Self;
}

impl ByAdmin for RequestBuilder {
    fn by_admin(self) -> Self {
        self.bearer_auth(admin())
    }
}

/// An HTTP client that shows it to what only the private listener has, and nowhere else.
#[derive(Debug, Clone)]
pub struct Http(pub reqwest::Client);

impl Http {
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        let url = url.as_ref();
        let request = self.0.request(method, url);
        if is_private(url) {
            request.by_admin()
        } else {
            request
        }
    }
}

fn is_private(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    let ends = ["/changes", "/openapi.json", "/asyncapi.json"];
    path.contains("/admin/v1/") || ends.iter().any(|end| path.ends_with(end))
}
