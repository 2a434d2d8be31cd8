//! One check of a credential.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Empty;
use serde_json::Value;

use crate::{
    config::auth::{Answer, CheckMethod, Forward},
    domain::Micros,
    identity::{
        Caller,
        claims::{Claims, Headers, Members, Unfit},
        granting::Granting,
        jwt::numeric_date,
        web::{Answered, Web},
    },
};

/// Asks the back end.
pub(super) struct Check {
    web: Web,
    uri: Uri,
    method: Method,
    answer: Answer,
    refuses: Vec<u16>,
    patience: Duration,
    max_bytes: usize,
}

/// What a back end says of a request that it will not read: that is a matter of this credential, and no outage.
const UNREADABLE: [u16; 4] = [400, 413, 414, 431];

/// What the back end says of a credential.
pub(super) enum Verdict {
    /// Whose it is, and until when, if it says that.
    Yes {
        caller: Caller,
        until: Option<Micros>,
    },
    /// It is nobody's. With a reason, where the back end did not say so itself.
    No(Option<Unfit>),
    /// It says nothing that counts.
    Silence(String),
}

impl Check {
    pub(super) fn new(settings: &Forward) -> Result<Self, String> {
        let ca_file = settings.ca_file.as_deref();
        Ok(Self {
            web: Web::new(&settings.check_url, ca_file, settings.max_concurrent)?,
            uri: Uri::try_from(settings.check_url.as_str())
                .map_err(|_| "check_url is none that can be asked")?,
            method: match settings.method {
                CheckMethod::Get => Method::GET,
                CheckMethod::Head => Method::HEAD,
            },
            answer: settings.answer,
            refuses: settings.refuses.clone(),
            patience: settings.timeout,
            max_bytes: settings.max_answer_bytes,
        })
    }

    /// Shows it these headers.
    pub(super) async fn ask(&self, headers: HeaderMap, granting: &Granting) -> Verdict {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        match self.web.ask(request, self.max_bytes, self.patience).await {
            Ok(answer) => self.read(&answer, granting),
            Err(error) => Verdict::Silence(error.to_string()),
        }
    }

    fn read(&self, answer: &Answered, granting: &Granting) -> Verdict {
        let status = answer.status.as_u16();
        if self.refuses.contains(&status) || UNREADABLE.contains(&status) {
            return Verdict::No(None);
        }
        if !answer.status.is_success() {
            return Verdict::Silence(format!("it answers {}", answer.status));
        }
        match self.answer {
            Answer::Headers => made(
                &Headers {
                    headers: &answer.headers,
                    subject: None,
                },
                None,
                granting,
            ),
            Answer::Json => match serde_json::from_slice::<Value>(&answer.body) {
                Ok(said) if said.is_object() => {
                    let until = said.get("exp").and_then(numeric_date);
                    made(&Members(&said), until, granting)
                }
                _ => Verdict::Silence(format!(
                    "it answers {}, and not with a JSON object",
                    answer.status
                )),
            },
        }
    }
}

fn made(claims: &dyn Claims, until: Option<Micros>, granting: &Granting) -> Verdict {
    match granting.caller(claims, &[], until) {
        Ok(caller) => Verdict::Yes { caller, until },
        Err(why) => Verdict::No(Some(why)),
    }
}
