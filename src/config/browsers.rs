//! What is allowed, and lets web pages or caches have what is of one account.

use super::{
    Config, Problems,
    auth::{Caller, CredentialPlace, Recognizer},
    modules::Poll,
    quirks::Quirk,
};

/// Warns of answers to known callers that others may read: pages, by a cookie that browsers add by themselves, and caches.
pub(super) fn warn(config: &Config, warnings: &mut Problems) {
    let callers = config.auth.callers();
    let of_module = |name: &str| {
        let module = config.modules.iter().find(|module| module.name == name);
        module.and_then(|module| module.callers.as_deref())
    };
    for (n, module) in config.modules.iter().enumerate() {
        if let Some(poll) = &module.poll {
            let path = format!("modules[{n}].poll");
            warn_of(
                poll,
                &path,
                &callers,
                &[module.callers.as_deref()],
                warnings,
            );
        }
    }
    for (n, endpoint) in config.endpoints.iter().enumerate() {
        let taken: Vec<_> = endpoint
            .modules
            .iter()
            .map(|name| of_module(name))
            .collect();
        let path = format!("endpoints[{n}].poll");
        warn_of(&endpoint.poll, &path, &callers, &taken, warnings);
    }
}

fn warn_of(
    poll: &Poll,
    path: &str,
    callers: &[Caller],
    taken: &[Option<&[String]>],
    warnings: &mut Problems,
) {
    let is_taken = |caller: &&Caller| {
        let mut taken = taken.iter();
        taken.any(|names| names.is_none_or(|all| all.contains(&caller.name)))
    };
    let mut known = callers
        .iter()
        .filter(is_taken)
        .filter(|caller| !matches!(caller.recognizer, Recognizer::Open))
        .peekable();
    if known.peek().is_none() {
        return;
    }
    let headers = [
        ("headers", &poll.response.headers),
        ("error_headers", &poll.response.error_headers),
    ];
    for (key, headers) in headers {
        let cached = headers
            .iter()
            .find(|(name, value)| name.eq_ignore_ascii_case("cache-control") && is_public(value));
        if let Some((name, _)) = cached {
            let why = "lets caches answer one caller with what was for another: say \"private\" or \"no-store\"";
            warnings.push(format!("{path}.response.{key}.{name}"), why);
        }
    }
    let quirk = poll
        .quirks
        .iter()
        .position(|quirk| *quirk == Quirk::JsonpCallback);
    if let Some((n, caller)) = quirk.zip(known.find(|caller| knows_by_cookie(caller))) {
        let name = &caller.name;
        let why = format!(
            "callers of `{name}` are known by a cookie, which browsers add by themselves: any page that a user opens reads the answers of its account. Let them show a header, or do without"
        );
        warnings.push(format!("{path}.quirks[{n}]"), why);
    }
}

fn is_public(value: &str) -> bool {
    let mut words = value.split(',').map(str::trim);
    words.any(|word| {
        let word = word.to_ascii_lowercase();
        word == "public" || word.starts_with("s-maxage")
    })
}

fn knows_by_cookie(caller: &Caller) -> bool {
    let is_cookie = |place: &CredentialPlace| matches!(place, CredentialPlace::Cookie(_));
    match &caller.recognizer {
        Recognizer::Jwt(jwt) => is_cookie(&jwt.credential),
        Recognizer::Key(key) => is_cookie(&key.credential),
        Recognizer::Forward(forward) => forward.shows.iter().any(is_cookie),
        Recognizer::Header(_) | Recognizer::Open => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::found;

    const MODULES: &str = r#"
[[modules]]
name = "old"
callers = ["cookies"]
[modules.poll]
path = "/old"
cursor = { in = "query", name = "since" }
audience = { claim = "sub" }
quirks = ["jsonp-callback"]
[modules.poll.response]
headers = { Cache-Control = "Public, max-age=5" }
error_headers = { cache-control = "no-store" }

[[modules]]
name = "new"
callers = ["headers"]
[modules.poll]
path = "/new"
cursor = { in = "query", name = "since" }
audience = { claim = "sub" }
quirks = ["jsonp-callback"]
[modules.poll.response]
headers = { cache-control = "private, max-age=5" }
"#;

    const CALLERS: &str = r#"
[[auth.callers]]
kind = "forward"
name = "cookies"
check_url = "https://legacy.example/check"
shows = [{ in = "cookie", name = "SESSION" }]
client = "{sub}"

[[auth.callers]]
kind = "jwt"
name = "headers"
algorithm = "HS256"
secret = "0123456789abcdef0123456789abcdef"
"#;

    fn warned(text: &str) -> Vec<String> {
        let warnings = found(text, warn);
        warnings
            .iter()
            .map(|warning| warning.path.clone())
            .collect()
    }

    #[test]
    fn what_others_may_read_is_warned_of() {
        assert_eq!(
            warned(&format!("{CALLERS}{MODULES}")),
            [
                "modules[0].poll.response.headers.Cache-Control",
                "modules[0].poll.quirks[0]"
            ]
        );
        let open = "[[auth.callers]]\nkind = \"open\"\nname = \"cookies\"\n";
        for callers in ["", open] {
            let said = warned(&format!("{callers}{MODULES}"));
            assert_eq!(said, [""; 0], "open callers have nothing to hide");
        }
    }

    #[test]
    fn what_lets_a_cache_keep_it_is_known_by_any_of_its_words() {
        let of = |key: &str, value: &str| {
            let before = r#"headers = { cache-control = "private, max-age=5" }"#;
            let with = format!("{key} = {{ cache-control = \"{value}\" }}");
            warned(&format!("{CALLERS}{}", MODULES.replace(before, &with)))
        };
        let known = warned(&format!("{CALLERS}{MODULES}"));
        for (key, value) in [
            ("headers", "max-age=5, public"),
            ("headers", "S-MaxAge=60"),
            ("error_headers", "public"),
        ] {
            let path = format!("modules[1].poll.response.{key}.cache-control");
            assert!(
                of(key, value).contains(&path),
                "nothing is said of {value} in {key}"
            );
        }
        for value in ["private", "no-store", "max-age=5", "no-cache"] {
            assert_eq!(of("headers", value), known, "{value}");
        }
    }

    #[test]
    fn callers_of_each_kind_may_come_by_cookie() {
        let jwt = r#"
[[auth.callers]]
kind = "jwt"
name = "headers"
algorithm = "HS256"
secret = "0123456789abcdef0123456789abcdef"
credential = { in = "cookie", name = "SESSION" }
"#;
        let key = r#"
[[auth.callers]]
kind = "key"
name = "headers"
credential = { in = "cookie", name = "SESSION" }
keys = [{ id = "u1", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000", audiences = ["u1"] }]
"#;
        for callers in [jwt, key] {
            let said = warned(&format!("{callers}{MODULES}"));
            assert_eq!(said, ["modules[1].poll.quirks[0]"], "{callers}");
        }
    }

    #[test]
    fn an_endpoint_of_several_modules_is_looked_at_too() {
        let endpoint = r#"
[[endpoints]]
modules = ["new", "old"]
[endpoints.poll]
path = "/both"
cursor = { in = "query", name = "since" }
audience = { claim = "sub" }
quirks = ["jsonp-callback"]
"#;
        let said = warned(&format!("{CALLERS}{MODULES}{endpoint}"));
        assert_eq!(
            said.last().unwrap(),
            "endpoints[0].poll.quirks[0]",
            "{said:?}"
        );
        // Whoever may not come to it is no concern of it.
        let said = warned(&format!(
            "{CALLERS}{MODULES}{}",
            endpoint.replace("\"new\", \"old\"", "\"new\"")
        ));
        assert!(
            !said.iter().any(|path| path.starts_with("endpoints")),
            "{said:?}"
        );
    }
}
