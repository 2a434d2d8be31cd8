//! From the configuration to what recognizes callers.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    Accepted, Identity, Places,
    counts::Counts,
    fingerprint::Salt,
    forward::ForwardRecognizer,
    granting::Granting,
    header::HeaderRecognizer,
    jwt::JwtRecognizer,
    key::KeyRecognizer,
    pace::Pace,
    recognizer::{Recognizer, Shared, Way},
    seldom::Seldom,
    verdicts::Verdicts,
    wrong::WrongSenders,
};
use crate::{
    config::{
        Config, Problems,
        auth::{self, CredentialPlace},
        modules::Module,
    },
    domain::{Clock, ModuleName},
};

impl Identity {
    /// As configured, with the keys that files hold now. `salt` is to be random.
    pub fn new(config: &Config, clock: Arc<dyn Clock>, salt: [u8; 16]) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let shared = Shared {
            verdicts: Arc::new(Verdicts::new(&config.auth)),
            wrong: Arc::new(WrongSenders::new(&config.auth)),
            clock,
            salt: Salt(salt),
        };
        let mut recognizers = Vec::new();
        for (n, caller) in (0_u8..).zip(config.auth.callers()) {
            match way(n, &caller, config, &shared) {
                Ok(way) => recognizers.push(Recognizer {
                    place: n,
                    realm: caller.name.as_str().into(),
                    way,
                    unfit: Seldom::default(),
                }),
                Err((key, why)) => problems.push(format!("auth.callers[{n}].{key}"), why),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if recognizers.iter().all(Recognizer::is_open) {
            return Ok(Self::default());
        }
        Ok(Self {
            realms: recognizers
                .iter()
                .map(|one| Arc::clone(&one.realm))
                .collect(),
            by_module: by_module(config),
            places: Places::new(recognizers.iter().flat_map(Recognizer::places)),
            counts: Counts::new(recognizers.iter().map(|one| &one.realm)),
            pace: Some(Pace::new(&config.rate, Instant::now())),
            shared: Some(shared),
            recognizers,
        })
    }

    /// What is wrong with what the configuration names: files and variables.
    pub fn problems(config: &Config, clock: Arc<dyn Clock>) -> Problems {
        Self::new(config, clock, [0; 16]).err().unwrap_or_default()
    }
}

fn way(
    place: u8,
    caller: &auth::Caller,
    config: &Config,
    shared: &Shared,
) -> Result<Way, (&'static str, String)> {
    let granting = Granting::new(place, caller, config);
    Ok(match caller.recognizer.clone() {
        auth::Recognizer::Open => Way::Open,
        auth::Recognizer::Jwt(settings) => {
            let at = settings.credential.clone();
            let made = JwtRecognizer::new(&settings, granting);
            let made = made.map_err(|unusable| (unusable.key, unusable.why))?;
            Way::Jwt(at, Box::new(made))
        }
        auth::Recognizer::Forward(settings) => {
            let at = settings.shows.clone();
            let memory = (Arc::clone(&shared.verdicts), Arc::clone(&shared.wrong));
            let clock = Arc::clone(&shared.clock);
            let made = ForwardRecognizer::new(settings, granting, memory, clock);
            Way::Forward(at, made.map_err(|why| ("ca_file", why))?)
        }
        auth::Recognizer::Header(settings) => {
            let at = CredentialPlace::Header(settings.name.clone());
            Way::Header(at, HeaderRecognizer::new(settings, granting))
        }
        auth::Recognizer::Key(settings) => {
            let at = settings.credential.clone();
            Way::Key(at, KeyRecognizer::new(settings, granting))
        }
    })
}

fn by_module(config: &Config) -> HashMap<ModuleName, Accepted> {
    let all = config.auth.names();
    let accepted = |module: &Module| {
        let named = module.callers.as_ref()?;
        let places = (0_u8..).zip(&all).filter(|(_, name)| named.contains(name));
        let accepted = Accepted::only(places.map(|(place, _)| place));
        Some((module.module_name(), accepted))
    };
    config.modules.iter().filter_map(accepted).collect()
}
