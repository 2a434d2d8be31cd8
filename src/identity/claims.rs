//! What a credential says of its caller, by name.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use serde_json::Value;

/// Why what a credential says makes no caller. Holds nothing of it.
pub(super) type Unfit = &'static str;

/// What a credential says.
pub(super) trait Claims {
    /// What it says under a name, as one text; `None` = nothing.
    fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Unfit>;

    /// What it says under a name, which may be several; none = nothing.
    fn list(&self, name: &str) -> Result<Vec<Cow<'_, str>>, Unfit>;
}

/// The members of a JSON object.
pub(super) struct Members<'a>(pub(super) &'a Value);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        let found = if name.starts_with('/') {
            self.0.pointer(name)
        } else {
            self.0.get(name)
        };
        found.filter(|value| !value.is_null())
    }
}

fn scalar(value: &Value) -> Result<Cow<'_, str>, Unfit> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            Ok(Cow::Owned(number.to_string()))
        }
        _ => Err("a claim is neither text nor a whole number"),
    }
}

impl Claims for Members<'_> {
    fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Unfit> {
        self.get(name).map(scalar).transpose()
    }

    fn list(&self, name: &str) -> Result<Vec<Cow<'_, str>>, Unfit> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(scalar).collect(),
            Some(one) => Ok(vec![scalar(one)?]),
        }
    }
}

/// The headers of a message, by their names in lower case. A list of them has commas.
pub(super) struct Headers<'a> {
    pub(super) headers: &'a HeaderMap,
    /// What `sub` says, beside them.
    pub(super) subject: Option<&'a str>,
}

fn readable(value: &HeaderValue) -> Result<&str, Unfit> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| "a header is not UTF-8")
}

impl Claims for Headers<'_> {
    fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Unfit> {
        if let (Some(subject), "sub") = (self.subject, name) {
            return Ok(Some(Cow::Borrowed(subject)));
        }
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => readable(value).map(|text| Some(Cow::Borrowed(text))),
            (Some(_), Some(_)) => Err("a header comes twice"),
        }
    }

    fn list(&self, name: &str) -> Result<Vec<Cow<'_, str>>, Unfit> {
        if let (Some(subject), "sub") = (self.subject, name) {
            return Ok(vec![Cow::Borrowed(subject)]);
        }
        let mut all = Vec::new();
        for value in self.headers.get_all(name) {
            let items = readable(value)?
                .split(',')
                .map(|item| item.trim_matches([' ', '\t']));
            all.extend(items.filter(|item| !item.is_empty()).map(Cow::Borrowed));
        }
        Ok(all)
    }
}

/// A subject and nothing else.
pub(super) struct Subject<'a>(pub(super) &'a str);

impl Claims for Subject<'_> {
    fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Unfit> {
        Ok((name == "sub").then_some(Cow::Borrowed(self.0)))
    }

    fn list(&self, name: &str) -> Result<Vec<Cow<'_, str>>, Unfit> {
        Ok(self.text(name)?.into_iter().collect())
    }
}
