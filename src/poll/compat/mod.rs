//! Compatibility as a layer: what single old clients need stands here, by name, and not in a
//! handler.
//!
//! Invariants: an endpoint without quirks pays nothing; a quirk changes the request before it is
//! read or the answer after it is written, and is counted whenever it did. What each one does, who
//! needs it and when it may go is told by [`Quirk::about`].

mod jsonp;
mod parameters;
mod text;
mod values;

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{CONNECTION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
    uri::PathAndQuery,
};

use crate::{
    config::modules::{Field, Place, Poll, Quirk},
    telemetry::metric,
};

/// The quirks of one endpoint.
#[derive(Debug, Clone)]
pub struct Compat {
    /// The label of the metric.
    module: Box<str>,
    quirks: Box<[Quirk]>,
    /// Query parameters that the contract reads.
    parameters: Box<[Box<str>]>,
}

/// What a request said that its answer depends on.
#[derive(Debug, Default)]
pub struct Noted {
    callback: Option<String>,
}

impl Compat {
    /// The layer of an endpoint; `None` if it has no quirks.
    pub(super) fn compile(module: &str, poll: &Poll) -> Option<Self> {
        let quirks: Box<[_]> = Quirk::ALL
            .into_iter()
            .filter(|quirk| poll.quirks.contains(quirk))
            .collect();
        (!quirks.is_empty()).then(|| Self {
            module: module.into(),
            quirks,
            parameters: query_parameters(poll),
        })
    }

    /// A layer of these quirks, for a contract that reads these parameters.
    #[cfg(any(test, fuzzing))]
    pub(super) fn with(quirks: &[Quirk], parameters: &[Box<str>]) -> Self {
        Self {
            module: "m1".into(),
            quirks: quirks.into(),
            parameters: parameters.into(),
        }
    }

    /// The same layer, where one more value may be a query parameter.
    pub(super) fn also_for(&self, field: &Field) -> Self {
        let one_more = (field.place == Place::Query).then(|| field.name.as_str().into());
        Self {
            parameters: self.parameters.iter().cloned().chain(one_more).collect(),
            ..self.clone()
        }
    }

    /// The same layer, counted under another label.
    pub(super) fn counted_for(&self, module: &str) -> Self {
        Self {
            module: module.into(),
            ..self.clone()
        }
    }

    /// Shows each quirk in the metrics from the start: one that nobody needs is told by its 0. To be
    /// called after the metrics recorder is installed.
    pub(super) fn show(&self) {
        for quirk in &self.quirks {
            self.counter(*quirk).increment(0);
        }
    }

    /// Changes a request into what the contract understands.
    pub fn ask<B>(&self, request: &mut Request<B>) -> Noted {
        if self.has(Quirk::TrailingSlash) && request.uri().path().ends_with('/') {
            self.count(Quirk::TrailingSlash);
        }
        self.rewrite_query(request.uri_mut());
        let mut noted = Noted::default();
        if self.has(Quirk::JsonpCallback) {
            noted.callback = jsonp::callback(request.uri().query().unwrap_or_default());
        }
        if noted.callback.is_some() {
            // A script must run each time.
            request.headers_mut().remove(IF_NONE_MATCH);
        }
        noted
    }

    /// Changes an answer into what the client understands.
    pub fn tell(&self, noted: Noted, response: &mut Response<Bytes>) {
        if !response.body().is_empty() {
            self.change_text(noted, response);
        }
        if self.has(Quirk::CloseConnection) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            self.count(Quirk::CloseConnection);
        }
    }

    /// Whether a cursor is a word that means none.
    pub(super) fn means_no_cursor(&self, text: &str) -> bool {
        let meant = self.has(Quirk::NullCursorIsAbsent) && values::is_no_cursor(text);
        self.count_if(meant, Quirk::NullCursorIsAbsent)
    }

    /// Whether a limit means all there is.
    pub(super) fn means_most(&self, text: &str) -> bool {
        let meant = self.has(Quirk::ZeroLimitIsMost) && values::is_most(text);
        self.count_if(meant, Quirk::ZeroLimitIsMost)
    }

    /// The media type of answers that became a script; `None` if none does.
    pub(super) fn script_type(&self) -> Option<&'static str> {
        let scripts = self.has(Quirk::JsonpCallback);
        scripts.then_some("text/javascript")
    }

    /// A second path that the endpoint answers at.
    pub(super) fn further_path(&self, path: &str) -> Option<String> {
        let slashed = self.has(Quirk::TrailingSlash) && !path.ends_with('/');
        slashed.then(|| format!("{path}/"))
    }

    fn rewrite_query(&self, uri: &mut Uri) {
        if self.has(Quirk::AnyCaseParameters) {
            let renamed = parameters::rename(uri.query().unwrap_or_default(), &self.parameters);
            self.replace_query(uri, renamed, Quirk::AnyCaseParameters);
        }
        if self.has(Quirk::LastParameterCounts) {
            let last = parameters::keep_last(uri.query().unwrap_or_default(), &self.parameters);
            self.replace_query(uri, last, Quirk::LastParameterCounts);
        }
    }

    fn replace_query(&self, uri: &mut Uri, query: Option<String>, quirk: Quirk) {
        let Some(query) = query else {
            return;
        };
        let mut parts = uri.clone().into_parts();
        let text = format!("{}?{query}", uri.path());
        parts.path_and_query = PathAndQuery::try_from(text).ok();
        // It was an address before, and parts of one make one.
        if let Ok(changed) = Uri::from_parts(parts) {
            *uri = changed;
            self.count(quirk);
        }
    }

    fn change_text(&self, noted: Noted, response: &mut Response<Bytes>) {
        if self.has(Quirk::AsciiJson)
            && let Some(ascii) = text::in_ascii(response.body())
        {
            *response.body_mut() = ascii;
            self.count(Quirk::AsciiJson);
        }
        if let Some(callback) = noted.callback {
            *response.body_mut() = jsonp::script(&callback, response.body());
            let headers = response.headers_mut();
            headers.remove(ETAG);
            headers.insert(CONTENT_TYPE, jsonp::CONTENT_TYPE);
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
            self.count(Quirk::JsonpCallback);
        }
        if self.has(Quirk::Utf8Bom) {
            *response.body_mut() = text::with_mark(response.body());
            self.count(Quirk::Utf8Bom);
        }
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    fn count_if(&self, changed: bool, quirk: Quirk) -> bool {
        if changed {
            self.count(quirk);
        }
        changed
    }

    fn count(&self, quirk: Quirk) {
        self.counter(quirk).increment(1);
    }

    fn counter(&self, quirk: Quirk) -> metrics::Counter {
        let module = self.module.to_string();
        metrics::counter!(metric::QUIRKS, "module" => module, "quirk" => quirk.as_str())
    }
}

fn query_parameters(poll: &Poll) -> Box<[Box<str>]> {
    let cursor = poll.cursor.kind.is_named().then_some(&poll.cursor);
    let cursor = cursor.map(|field| (field.place, &field.name));
    let audience = poll.audience.as_ref();
    let audience = audience.and_then(|field| Some((field.place?, &field.name)));
    let client = poll.client.as_ref().map(|field| (field.place, &field.name));
    let agent = poll.agent.as_ref().map(|field| (field.place, &field.name));
    let limit = poll.limit.place.map(|place| (place, &poll.limit.name));
    let wait = poll.wait.as_ref();
    let wait = wait.and_then(|field| Some((field.place?, &field.name)));
    let all = [cursor, audience, client, agent, limit, wait]
        .into_iter()
        .flatten();
    all.filter(|(place, _)| *place == Place::Query)
        .map(|(_, name)| name.as_str().into())
        .collect()
}

#[cfg(test)]
mod tests;
