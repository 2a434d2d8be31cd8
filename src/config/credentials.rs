//! With what clients enter a target's broker.

use serde::{Deserialize, Serialize};

use super::{
    Config, Problems,
    endpoint::Endpoint,
    login::{Login, Password},
    mqtt::Target,
    profile::Profile,
};

/// Where the user name and the password of a client come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// Each session gets its own, signed; the broker asks the gateway, or is its own.
    Signed,
    /// Each session gets its own, which the gateway makes on the broker: Mosquitto's dynamic-security plugin.
    Dynsec,
    /// All clients get the configured ones.
    Static,
    /// None: how clients enter is not the gateway's concern.
    None,
}

impl Target {
    /// The user that all of its clients share.
    pub fn client_login(&self) -> Option<Login> {
        let file = self.client_password_file.clone().map(Password::File);
        let variable = || self.client_password_env.clone().map(Password::Variable);
        Some(Login {
            user: self.client_username.clone()?,
            password: file.or_else(variable)?,
        })
    }

    /// Whether its product knows how to ask.
    fn can_ask(&self) -> bool {
        use Profile::{Emqx, RabbitMq, VerneMq};
        matches!(self.effective_profile(), Emqx | RabbitMq | VerneMq)
    }

    /// What keeps the gateway from making clients on it.
    fn why_no_dynsec(&self) -> Option<&'static str> {
        use Profile::{Mosquitto, Mqtt};
        if self.is_embedded() {
            Some("the embedded broker takes what sessions are told: use \"signed\"")
        } else if !matches!(self.effective_profile(), Mosquitto | Mqtt) {
            Some("`dynsec` is a plugin of Mosquitto: this profile is of another broker")
        } else if !self.names_its_user() && self.client_cert_file.is_none() {
            Some(
                "`dynsec` needs the gateway's own user there, with the plugin's role of an admin: set username and password_file",
            )
        } else {
            None
        }
    }

    fn names_its_user(&self) -> bool {
        let in_url = || Endpoint::parse(&self.url).is_ok_and(|url| url.username.is_some());
        self.username.is_some() || in_url()
    }

    fn client_keys(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("client_username", self.client_username.is_some()),
            ("client_password_file", self.client_password_file.is_some()),
            ("client_password_env", self.client_password_env.is_some()),
        ];
        keys.into_iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(key, _)| key)
    }

    pub(super) fn validate_credentials(&self, hooks: bool, path: &str, problems: &mut Problems) {
        let passwords = self.client_keys().filter(|key| *key != "client_username");
        for key in passwords.skip(1) {
            problems.push(
                format!("{path}.{key}"),
                "stands beside another one: keep one of them",
            );
        }
        match self.credentials {
            Some(Credentials::Static) => {
                if self.is_embedded() {
                    let why = "the embedded broker takes what sessions are told: use \"signed\"";
                    problems.push(format!("{path}.credentials"), why);
                } else if self.client_login().is_none() {
                    let why = "`static` needs client_username, and client_password_file or client_password_env";
                    problems.push(format!("{path}.credentials"), why);
                }
                return;
            }
            Some(Credentials::Signed) if !self.is_embedded() && !hooks => {
                let why = "`signed` needs a broker that asks the gateway: set broker_hooks.secret_file, and the broker as in docs/BROKERS.md";
                problems.push(format!("{path}.credentials"), why);
            }
            Some(Credentials::Dynsec) => {
                if let Some(why) = self.why_no_dynsec() {
                    problems.push(format!("{path}.credentials"), why);
                }
            }
            Some(Credentials::None) if self.is_embedded() => {
                let why = "the embedded broker always asks for what sessions are told once callers are known: leave it out";
                problems.push(format!("{path}.credentials"), why);
            }
            _ => {}
        }
        for key in self.client_keys() {
            problems.push(format!("{path}.{key}"), "needs credentials = \"static\"");
        }
    }
}

impl Config {
    /// With what clients enter a target. While nobody is asked who he is (`is_open`), the embedded broker lets everybody in.
    pub fn credentials(&self, target: &Target, is_open: bool) -> Credentials {
        if target.is_embedded() {
            return if is_open {
                Credentials::None
            } else {
                Credentials::Signed
            };
        }
        let asks = self.broker_hooks.are_on() && target.can_ask();
        let usual = if asks {
            Credentials::Signed
        } else {
            Credentials::None
        };
        target.credentials.unwrap_or(usual)
    }

    /// Whether the keys of passes are needed for any target.
    pub fn signs_passes(&self, is_open: bool) -> bool {
        let targets = self.mqtt.effective_targets();
        let is_signed = |target: &Target| {
            let credentials = self.credentials(target, is_open);
            matches!(credentials, Credentials::Signed | Credentials::Dynsec)
        };
        targets.iter().any(is_signed)
    }

    /// What operators have to do on brokers where the gateway makes clients, each with its key.
    pub fn asked_of_brokers(&self) -> Vec<String> {
        let targets = self.mqtt.targets.iter().enumerate();
        let kept = targets.filter(|(_, target)| target.credentials == Some(Credentials::Dynsec));
        let told = kept.map(|(n, target)| {
            let prefix = target.effective_prefix(&self.mqtt).trim_end_matches('/');
            format!(
                "mqtt.targets[{n}].credentials: this broker needs mosquitto_dynamic_security.so, for the gateway's user its role of an admin and one that may publish {prefix}/#, and publishClientSend, publishClientReceive and subscribe denied by default: docs/BROKERS.md"
            )
        });
        told.collect()
    }
}

/// Below this the users on a broker come and go too fast.
const SHORT_SESSION_MS: u64 = 60_000;

/// Where the isolation of clients is left to others.
pub(super) fn warn(config: &Config, warnings: &mut Problems) {
    for (n, target) in config.mqtt.targets.iter().enumerate() {
        let is_nobodys = config.credentials(target, false) == Credentials::None;
        if is_nobodys && !config.auth.is_open() {
            warnings.push(
                format!("mqtt.targets[{n}].credentials"),
                "callers are known, and sessions tell nothing to enter this broker with: that each reads only its own audiences is for you to see to there, or let the broker ask the gateway (broker_hooks)",
            );
        }
        if target.credentials == Some(Credentials::Dynsec)
            && config.session.lifetime_ms < SHORT_SESSION_MS
        {
            warnings.push(
                "session.lifetime_ms",
                "is short for credentials = \"dynsec\": each client is made and removed on the broker twice in this time, and Mosquitto writes its whole file each time",
            );
        }
        if target.credentials == Some(Credentials::Static) {
            warnings.push(
                format!("mqtt.targets[{n}].credentials"),
                "all clients share one user: that each reads only its own audiences is for you to see to, the gateway cannot",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "secret-of-the-hooks-0123";

    fn config(target: &str, hooks: &str) -> Config {
        let text = format!("[broker_hooks]\n{hooks}\n[[mqtt.targets]]\n{target}\n");
        toml::from_str(&text).unwrap()
    }

    fn problems(config: &Config) -> Vec<String> {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems
            .iter()
            .map(|problem| problem.path.clone())
            .collect()
    }

    #[test]
    fn who_can_ask_gets_signed_ones() {
        let hooks = format!("secret = \"{SECRET}\"");
        for (target, hooks, of_open, of_known) in [
            (
                "url = \"embedded://127.0.0.1:1883\"",
                "",
                Credentials::None,
                Credentials::Signed,
            ),
            (
                "url = \"mqtt://h\"\nprofile = \"rabbitmq\"",
                "",
                Credentials::None,
                Credentials::None,
            ),
            (
                "url = \"mqtt://h\"\nprofile = \"rabbitmq\"",
                &*hooks,
                Credentials::Signed,
                Credentials::Signed,
            ),
            (
                "url = \"mqtt://h\"\nprofile = \"mosquitto\"",
                &*hooks,
                Credentials::None,
                Credentials::None,
            ),
            (
                "url = \"mqtt://u:p@h\"\ncredentials = \"dynsec\"",
                "",
                Credentials::Dynsec,
                Credentials::Dynsec,
            ),
            (
                "url = \"mqtt://h\"\ncredentials = \"signed\"",
                &*hooks,
                Credentials::Signed,
                Credentials::Signed,
            ),
        ] {
            let config = config(target, hooks);
            assert!(problems(&config).is_empty(), "{target}");
            let effective = |is_open| config.credentials(&config.mqtt.targets[0], is_open);
            assert_eq!(
                (effective(true), effective(false)),
                (of_open, of_known),
                "{target}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused_at_its_key() {
        let key = |name: &str| format!("mqtt.targets[0].{name}");
        for (target, refused) in [
            (
                "url = \"mqtt://h\"\ncredentials = \"signed\"",
                key("credentials"),
            ),
            (
                "url = \"mqtt://h\"\ncredentials = \"static\"",
                key("credentials"),
            ),
            (
                "credentials = \"static\"\nclient_username = \"u\"\nclient_password_env = \"E\"",
                key("credentials"),
            ),
            ("credentials = \"none\"", key("credentials")),
            ("credentials = \"dynsec\"", key("credentials")),
            (
                "url = \"mqtt://h\"\ncredentials = \"dynsec\"",
                key("credentials"),
            ),
            (
                "url = \"mqtt://u:p@h\"\nprofile = \"emqx\"\ncredentials = \"dynsec\"",
                key("credentials"),
            ),
            (
                "url = \"mqtt://u:p@h\"\ncredentials = \"dynsec\"\nclient_username = \"u\"",
                key("client_username"),
            ),
            (
                "url = \"mqtt://h\"\nclient_username = \"u\"",
                key("client_username"),
            ),
            (
                "url = \"mqtt://h\"\ncredentials = \"static\"\nclient_username = \"u\"\nclient_password_env = \"E\"\nclient_password_file = \"f\"",
                key("client_password_env"),
            ),
        ] {
            assert_eq!(problems(&config(target, "")), [refused], "{target}");
        }
        let hooks = |hooks: &str| problems(&config("", hooks));
        assert_eq!(hooks("secret = \"short\""), ["broker_hooks.secret"]);
        assert_eq!(
            hooks("secret = \"0123456789/abcdef\""),
            ["broker_hooks.secret"]
        );
        let both = format!("secret = \"{SECRET}\"\nsecret_file = \"f\"");
        assert_eq!(hooks(&both), ["broker_hooks.secret_file"]);
        assert_eq!(hooks("from = [\"10.0.0.300\"]"), ["broker_hooks.from[0]"]);
    }

    #[test]
    fn operators_are_told_what_a_broker_needs() {
        let target = "url = \"mqtt://127.0.0.1\"\nusername = \"u\"\ncredentials = \"dynsec\"";
        let mut config = config(target, "");
        let [told] = &*config.asked_of_brokers() else {
            panic!("one line for one target");
        };
        assert!(told.contains("may publish changeover/#"), "{told}");
        assert!(config.warnings().is_empty());
        config.session.lifetime_ms = 1_000;
        let warnings = config.warnings();
        let paths: Vec<_> = warnings.iter().map(|warning| &*warning.path).collect();
        assert_eq!(paths, ["session.lifetime_ms"]);
        config.dynsec.batch = 0;
        assert_eq!(problems(&config), ["dynsec.batch"]);
    }

    #[test]
    fn a_shared_user_is_warned_of_and_secrets_stay_hidden() {
        let target = "url = \"mqtt://h\"\ncredentials = \"static\"\nclient_username = \"u\"\nclient_password_file = \"f\"";
        let config = config(target, &format!("secret = \"{SECRET}\""));
        assert!(problems(&config).is_empty());
        let warnings = config.warnings();
        let paths: Vec<_> = warnings.iter().map(|warning| &*warning.path).collect();
        assert_eq!(paths, ["mqtt.targets[0].credentials"]);
        for shown in [format!("{config:?}"), config.to_toml()] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
    }
}
