//! Who asks, and what it may be called and may read.

use std::{borrow::Cow, sync::Arc};

use super::Refused;
use crate::domain::{Audience, Micros};

/// A caller that was recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The place of its recognizer in the configuration.
    pub by: u8,
    /// The name of its recognizer: callers of two recognizers are never the same.
    pub realm: Arc<str>,
    /// Who it is there, the same each time. Not empty.
    pub id: Arc<str>,
    /// Which client ids it may bear.
    pub client_ids: ClientIds,
    /// Whose changes it may read besides everyone's: sorted, without repeats and without `*`.
    pub audiences: Arc<[Audience]>,
    /// What modules may ask for by name (`audience = { claim = "sub" }`): only what some module asks for is kept.
    pub claims: Box<[Claim]>,
    /// Its program and version, if its credential says so.
    pub agent: Option<Arc<str>>,
    /// Until when it is believed; `None` = as long as the configuration stands.
    pub expires_at: Option<Micros>,
}

/// Something that a credential says of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name in the credential.
    pub name: Arc<str>,
    /// What it says.
    pub value: Arc<str>,
}

/// Which client ids a caller may bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientIds {
    /// Its own id only.
    Own,
    /// Any: it has several clients, and tells them apart by itself.
    Any,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Somebody who is believed who he says he is.
    Open,
    /// A caller that was recognized.
    Known(Arc<Caller>),
}

impl Who {
    /// The caller, if it was recognized.
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Open => None,
            Self::Known(caller) => Some(caller),
        }
    }

    /// Whether this audience may be read. Everyone's may.
    pub fn may_read(&self, audience: &Audience) -> bool {
        let granted = |caller: &Caller| caller.audiences.binary_search(audience).is_ok();
        audience.is_everyone() || self.caller().is_none_or(granted)
    }

    /// The audiences besides everyone's that a request is about which names this one, or none: the named one, if it may be read; else
    /// all that the caller has. An open caller has what it names.
    pub fn audiences(&self, named: Option<Audience>) -> Result<Arc<[Audience]>, Refused> {
        let Some(named) = named else {
            let all = self.caller().map(|caller| Arc::clone(&caller.audiences));
            return Ok(all.unwrap_or_default());
        };
        if !self.may_read(&named) {
            return Err(Refused::NotItsAudience);
        }
        let named = Some(named).filter(|audience| !audience.is_everyone());
        Ok(named.into_iter().collect())
    }

    /// The client id of a request that says this one, or none. An open caller that says none has none.
    pub fn client_id<'a>(&'a self, said: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Refused> {
        match (self.caller(), said) {
            (None, said) => Ok(said.unwrap_or_default()),
            (Some(caller), None) => Ok(Cow::Borrowed(&caller.id)),
            (Some(caller), Some(said)) => {
                let is_its_own = caller.client_ids == ClientIds::Any || *said == *caller.id;
                is_its_own.then_some(said).ok_or(Refused::NotItsClient)
            }
        }
    }

    /// What the caller's credential says under this name.
    pub fn claim(&self, name: &str) -> Option<&str> {
        let claims = &self.caller()?.claims;
        let found = claims.iter().find(|claim| *claim.name == *name);
        found.map(|claim| &*claim.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::caller;

    fn audience(text: &str) -> Audience {
        Audience::stored(text)
    }

    fn known(audiences: &[&str], client_ids: ClientIds) -> Who {
        Who::Known(Arc::new(Caller {
            client_ids,
            ..caller("u1", audiences)
        }))
    }

    #[test]
    fn a_caller_reads_what_it_has_and_everyones() {
        let who = known(&["u1", "u10"], ClientIds::Own);
        assert_eq!(who.audiences(None).unwrap().len(), 2);
        assert_eq!(
            *who.audiences(Some(audience("u1"))).unwrap(),
            [audience("u1")]
        );
        assert!(who.audiences(Some(audience("*"))).unwrap().is_empty());
        for other in ["u", "u2", "U1", "u1 ", "u100"] {
            let refused = who.audiences(Some(audience(other)));
            assert_eq!(refused, Err(Refused::NotItsAudience), "{other}");
        }
        assert_eq!(
            *Who::Open.audiences(Some(audience("u2"))).unwrap(),
            [audience("u2")]
        );
        assert!(Who::Open.audiences(None).unwrap().is_empty());
    }

    #[test]
    fn a_caller_bears_its_own_id_or_any() {
        let own = known(&[], ClientIds::Own);
        assert_eq!(own.client_id(None).unwrap(), "u1");
        assert_eq!(own.client_id(Some("u1".into())).unwrap(), "u1");
        let refused = own.client_id(Some("u2".into()));
        assert_eq!(refused, Err(Refused::NotItsClient));
        let any = known(&[], ClientIds::Any);
        assert_eq!(any.client_id(Some("u2".into())).unwrap(), "u2");
        assert_eq!(Who::Open.client_id(Some("u2".into())).unwrap(), "u2");
    }
}
