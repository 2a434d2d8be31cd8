//! Where in a request a credential stands.

use http::{HeaderName, header};
use serde::{Deserialize, Serialize};

use crate::config::Problems;

/// Where a credential stands, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialField {
    /// Which part of the request; absent = a header.
    #[serde(rename = "in")]
    pub place: CredentialIn,
    /// Its name there.
    pub name: String,
    /// The scheme before it, in a header; absent = `Bearer` in `Authorization`, and none elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
}

/// A header or cookie that is shown to a back end as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShownField {
    /// Which part of the request; absent = a header.
    #[serde(rename = "in")]
    pub place: ShownIn,
    /// Its name there.
    pub name: String,
    /// Whether the back end's answer depends on it; absent = it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decides: Option<bool>,
}

/// Parts of a request that are shown to a back end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownIn {
    /// A header.
    #[default]
    Header,
    /// A cookie, RFC 6265.
    Cookie,
}

impl ShownField {
    /// The place, if it is one. A header is all of it: its scheme is the back end's own affair.
    pub(super) fn check(&self, path: &str, problems: &mut Problems) -> Option<CredentialPlace> {
        let field = CredentialField {
            place: match self.place {
                ShownIn::Header => CredentialIn::Header,
                ShownIn::Cookie => CredentialIn::Cookie,
            },
            name: self.name.clone(),
            scheme: None,
        };
        Some(match field.check(path, problems)? {
            CredentialPlace::Scheme(name, _) => CredentialPlace::Header(name),
            place => place,
        })
    }
}

/// Parts of a request in which credentials stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialIn {
    /// A header.
    #[default]
    Header,
    /// A cookie, RFC 6265.
    Cookie,
    /// The query string.
    Query,
}

/// Where a credential stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialPlace {
    /// Behind a scheme in a header, as `Authorization: Bearer …`.
    Scheme(HeaderName, String),
    /// All of a header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
}

impl CredentialPlace {
    /// `Authorization: Bearer …`, RFC 6750.
    pub fn bearer() -> Self {
        Self::Scheme(header::AUTHORIZATION, "Bearer".to_owned())
    }
}

impl CredentialField {
    /// The place, if it is one.
    pub(super) fn check(&self, path: &str, problems: &mut Problems) -> Option<CredentialPlace> {
        if self.name.is_empty() {
            problems.push(format!("{path}.name"), "must not be empty");
            return None;
        }
        if self.place != CredentialIn::Header && self.scheme.is_some() {
            problems.push(format!("{path}.scheme"), "is for headers only");
            return None;
        }
        let found = match self.place {
            CredentialIn::Header => self.header(),
            CredentialIn::Cookie if HeaderName::try_from(&self.name).is_err() => Err((
                "name",
                format!("`{}` is no cookie name", self.name.escape_debug()),
            )),
            CredentialIn::Cookie => Ok(CredentialPlace::Cookie(self.name.clone())),
            CredentialIn::Query if self.name.chars().any(char::is_control) => {
                Err(("name", "must not contain control characters".to_owned()))
            }
            CredentialIn::Query => Ok(CredentialPlace::Query(self.name.clone())),
        };
        let push = |(key, why)| problems.push(format!("{path}.{key}"), why);
        found.map_err(push).ok()
    }

    fn header(&self) -> Result<CredentialPlace, (&'static str, String)> {
        let name = HeaderName::try_from(&self.name).map_err(|_| {
            let name = self.name.escape_debug();
            ("name", format!("`{name}` is no header name"))
        })?;
        if [header::COOKIE, header::HOST, header::CONTENT_LENGTH].contains(&name) {
            return Err((
                "name",
                format!("`{name}` holds no credential: for a cookie write in = \"cookie\""),
            ));
        }
        let usual = || (name == header::AUTHORIZATION).then(|| "Bearer".to_owned());
        let Some(scheme) = self.scheme.clone().or_else(usual) else {
            return Ok(CredentialPlace::Header(name));
        };
        // Schemes are tokens of RFC 9110, as names of headers are.
        if HeaderName::try_from(&scheme).is_err() {
            return Err(("scheme", "must be a word such as \"Bearer\"".to_owned()));
        }
        Ok(CredentialPlace::Scheme(name, scheme))
    }
}
