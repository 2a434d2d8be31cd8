//! Where in a request credentials stand: what answers and descriptions say of it.
//!
//! Invariant: a cache is told of every header that decides who asks.

use http::{HeaderName, HeaderValue, header};

use super::Refused;

/// Where a credential stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Behind a scheme in a header, as `Authorization: Bearer …`.
    Scheme(HeaderName, Box<str>),
    /// A header of its own.
    Header(HeaderName),
    /// A cookie.
    Cookie(Box<str>),
    /// A parameter of the query.
    Query(Box<str>),
}

/// Where the credentials of all configured callers stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    all: Vec<Place>,
    vary: HeaderValue,
}

impl Default for Places {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Places {
    /// These, without repeats.
    pub fn new(places: impl IntoIterator<Item = Place>) -> Self {
        let mut all = Vec::new();
        for place in places {
            if !all.contains(&place) {
                all.push(place);
            }
        }
        // Always there: answers named it before anybody was asked.
        let mut names = vec![header::AUTHORIZATION];
        for name in all.iter().filter_map(Place::header) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
        let vary = HeaderValue::try_from(names.join(", "));
        Self {
            all,
            vary: vary.expect("names of headers and commas may stand in a header"),
        }
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[Place] {
        &self.all
    }

    /// The value of `Vary`: every header that decides who asks.
    pub const fn vary(&self) -> &HeaderValue {
        &self.vary
    }

    /// The headers of their own in which credentials come.
    pub fn headers(&self) -> impl Iterator<Item = HeaderName> + '_ {
        let own = self
            .all
            .iter()
            .filter(|place| !matches!(place, Place::Cookie(_)));
        own.filter_map(Place::header)
    }

    /// The value of `WWW-Authenticate` in a refusal (RFC 9110, 11.6.1, and RFC 6750, section 3). There is none where no credential
    /// stands in `Authorization`: no scheme of HTTP would say how to do better.
    pub fn challenge(&self, refused: Refused) -> Option<HeaderValue> {
        let was_wrong = match refused {
            Refused::Missing => false,
            Refused::NotAccepted | Refused::Expired => true,
            _ => return None,
        };
        let schemes = self.all.iter().filter_map(|place| match place {
            Place::Scheme(name, scheme) if *name == header::AUTHORIZATION => Some(&**scheme),
            _ => None,
        });
        let challenge = |scheme: &str| {
            if was_wrong && scheme.eq_ignore_ascii_case("bearer") {
                format!("{scheme} error=\"invalid_token\"")
            } else {
                scheme.to_owned()
            }
        };
        let challenges: Vec<_> = schemes.map(challenge).collect();
        HeaderValue::try_from(challenges.join(", "))
            .ok()
            .filter(|challenge| !challenge.is_empty())
    }
}

impl Place {
    fn header(&self) -> Option<HeaderName> {
        match self {
            Self::Scheme(name, _) | Self::Header(name) => Some(name.clone()),
            Self::Cookie(_) => Some(header::COOKIE),
            Self::Query(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_that_decides_is_named_once() {
        let key = || Place::Header(HeaderName::from_static("x-api-key"));
        let cookie = |name: &str| Place::Cookie(name.into());
        assert_eq!(Places::default().vary(), "authorization");
        let bearer = Place::Scheme(header::AUTHORIZATION, "Bearer".into());
        let places = Places::new([key(), cookie("sid"), bearer, cookie("old"), key()]);
        assert_eq!(places.vary(), "authorization, x-api-key, cookie");
        assert_eq!(places.all().len(), 4);
        assert_eq!(places.headers().count(), 2);
    }

    #[test]
    fn only_who_can_do_better_is_challenged() {
        let scheme = |scheme: &str| Place::Scheme(header::AUTHORIZATION, scheme.into());
        let bearer = Places::new([scheme("Bearer"), scheme("Token")]);
        assert_eq!(bearer.challenge(Refused::Missing).unwrap(), "Bearer, Token");
        let expired = bearer.challenge(Refused::Expired).unwrap();
        assert_eq!(expired, "Bearer error=\"invalid_token\", Token");
        assert!(bearer.challenge(Refused::NotItsAudience).is_none());
        let cookie = Places::new([Place::Cookie("sid".into())]);
        assert!(cookie.challenge(Refused::Missing).is_none());
    }
}
