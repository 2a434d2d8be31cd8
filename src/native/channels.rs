//! The channels of one caller.

use crate::{
    domain::{Audience, ModuleName},
    identity::{Refused, Who},
};

/// The channels of one module that a caller reads: everyone's, and perhaps its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    module: ModuleName,
    audiences: Box<[Audience]>,
    /// The audience that the request named, if without it others would be meant.
    named: Option<Audience>,
}

impl Channels {
    /// Everyone's and the one of this audience. `*` is always among them.
    pub fn new(module: ModuleName, own: Option<Audience>) -> Self {
        let named = own.filter(|audience| !audience.is_everyone());
        Self {
            named: named.clone(),
            ..Self::of(module, named.as_slice())
        }
    }

    /// Everyone's and all that a caller has, without repeats.
    pub fn of(module: ModuleName, own: &[Audience]) -> Self {
        let own = own.iter().filter(|audience| !audience.is_everyone());
        let everyone = Audience::everyone();
        Self {
            module,
            audiences: std::iter::once(everyone).chain(own.cloned()).collect(),
            named: None,
        }
    }

    /// Those that a caller asks for who names this audience, or none: then all that it has.
    pub fn asked(module: ModuleName, who: &Who, named: Option<Audience>) -> Result<Self, Refused> {
        let Some(caller) = who.caller() else {
            return Ok(Self::new(module, named));
        };
        match named {
            None => Ok(Self::of(module, &caller.audiences)),
            Some(named) if !who.may_read(&named) => Err(Refused::NotItsAudience),
            Some(named) => Ok(Self {
                named: Some(named.clone()),
                ..Self::of(module, &[named])
            }),
        }
    }

    /// The module.
    pub const fn module(&self) -> &ModuleName {
        &self.module
    }

    /// The audiences, without repeats.
    pub const fn audiences(&self) -> &[Audience] {
        &self.audiences
    }

    /// The audience that a request has to name to be about these channels.
    pub const fn named(&self) -> Option<&Audience> {
        self.named.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::known;

    fn asked(who: &Who, named: Option<&str>) -> Result<(Vec<String>, Option<String>), Refused> {
        let named = named.map(Audience::stored);
        let channels = Channels::asked("m".parse().unwrap(), who, named)?;
        let audiences = channels.audiences().iter().map(ToString::to_string);
        Ok((
            audiences.collect(),
            channels.named().map(ToString::to_string),
        ))
    }

    #[test]
    fn a_caller_who_names_nobody_reads_all_that_it_has() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let named = |text: &str| Some(text.to_owned());
        let known = known("u1", &["u1", "u10"]);
        assert_eq!(asked(&known, None), Ok((texts(&["*", "u1", "u10"]), None)));
        assert_eq!(
            asked(&known, Some("u1")),
            Ok((texts(&["*", "u1"]), named("u1")))
        );
        // Its next page is to be of the same channels, and not of all.
        assert_eq!(asked(&known, Some("*")), Ok((texts(&["*"]), named("*"))));
        assert_eq!(asked(&known, Some("u")), Err(Refused::NotItsAudience));
        assert_eq!(asked(&Who::Open, None), Ok((texts(&["*"]), None)));
        assert_eq!(asked(&Who::Open, Some("*")), Ok((texts(&["*"]), None)));
        assert_eq!(
            asked(&Who::Open, Some("u")),
            Ok((texts(&["*", "u"]), named("u")))
        );
    }
}
