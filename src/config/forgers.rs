//! What is allowed, and lets others say who a caller is.

use super::{
    Config, Problems,
    auth::{Header, Jwt, KeySource, Recognizer},
};

/// Warns of callers whom somebody on the way could make up.
pub(super) fn warn(config: &Config, warnings: &mut Problems) {
    for (n, caller) in config.auth.callers().iter().enumerate() {
        let path = format!("auth.callers[{n}]");
        match &caller.recognizer {
            Recognizer::Header(header) => warn_of_networks(header, &path, warnings),
            Recognizer::Jwt(jwt) => warn_of_keys(jwt, &path, warnings),
            Recognizer::Forward(_) | Recognizer::Key(_) | Recognizer::Open => {}
        }
    }
}

fn warn_of_networks(header: &Header, path: &str, warnings: &mut Problems) {
    let of_all = header.networks.iter().position(|one| one.is_everything());
    if let Some(n) = of_all {
        let why = format!(
            "whoever reaches this gateway may send `{}` and is who it says: name the addresses of the proxy alone",
            header.name
        );
        warnings.push(format!("{path}.networks[{n}]"), why);
    }
}

fn warn_of_keys(jwt: &Jwt, path: &str, warnings: &mut Problems) {
    let KeySource::Url { url, .. } = &jwt.keys else {
        return;
    };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_here {
        let why = "is not encrypted: whoever is on the way there can put keys in, and make tokens for everybody. Say https://";
        warnings.push(format!("{path}.jwks_url"), why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::found;

    fn warned(caller: &str) -> Vec<(String, String)> {
        let warnings = found(&format!("auth.callers = [{caller}]"), warn);
        let told = warnings.iter();
        told.map(|one| (one.path.clone(), one.message.clone()))
            .collect()
    }

    #[test]
    fn a_proxy_that_may_be_anybody() {
        let header = |networks: &str| {
            let callers = format!(
                r#"{{ kind = "header", credential = {{ in = "header", name = "X-User" }}, networks = [{networks}] }}"#
            );
            warned(&callers)
        };
        assert_eq!(header(r#""10.0.0.0/8""#), []);
        for (networks, at) in [(r#""10.0.0.0/8", "0.0.0.0/0""#, 1), (r#""::/0""#, 0)] {
            let [(path, why)] = &*header(networks) else {
                panic!("nothing is said of {networks}");
            };
            assert_eq!(*path, format!("auth.callers[0].networks[{at}]"));
            assert!(why.contains("may send `x-user`"), "{why}");
        }
    }

    #[test]
    fn keys_that_anybody_on_the_way_can_change() {
        let jwt = |url: &str| {
            let callers = format!(r#"{{ kind = "jwt", algorithm = "RS256", jwks_url = "{url}" }}"#);
            warned(&callers)
        };
        for safe in [
            "https://example.com/keys",
            "http://127.0.0.1:9/keys",
            "http://[::1]:9/keys",
            "http://localhost/keys",
        ] {
            assert_eq!(jwt(safe), [], "{safe}");
        }
        for unsafe_one in [
            "http://example.com/keys",
            "http://localhost.example.com/keys",
            "http://10.0.0.1/keys",
            "http://[fd00::1]/keys",
        ] {
            let [(path, why)] = &*jwt(unsafe_one) else {
                panic!("nothing is said of {unsafe_one}");
            };
            assert_eq!(path, "auth.callers[0].jwks_url", "{unsafe_one}");
            assert!(why.contains("Say https://"), "{why}");
        }
    }

    #[test]
    fn each_caller_is_called_by_its_own_number() {
        let said = warned(
            r#"{ kind = "jwt", name = "a", algorithm = "RS256", jwks_url = "https://example.com/keys" },
               { kind = "jwt", name = "b", algorithm = "RS256", jwks_url = "http://example.com/keys" }"#,
        );
        let paths: Vec<_> = said.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["auth.callers[1].jwks_url"]);
    }
}
