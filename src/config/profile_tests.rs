use super::*;

const PAGE: &str = include_str!("../../docs/PROFILES.md");

/// A row of the page's table, as its cells.
fn row(profile: Profile) -> Vec<&'static str> {
    let begin = format!("| `{}` |", profile.as_str());
    let line = PAGE.lines().find(|line| line.starts_with(&begin));
    let line = line.unwrap_or_else(|| panic!("docs/PROFILES.md lacks {}", profile.as_str()));
    line.split('|').map(str::trim).collect()
}

fn count(number: Option<usize>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

#[test]
fn the_page_shows_what_is_in_force() {
    for profile in Profile::ALL {
        let limits = profile.limits();
        let bounded = |number: usize| count((number < MQTT_TEXT_BYTES).then_some(number));
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let characters = match limits.topic_characters {
            Characters::Any => "any",
            Characters::NoDots => "no-dots",
            Characters::Plain => "plain",
        };
        let expected = [
            bounded(limits.topic_bytes),
            bounded(limits.topic_levels),
            characters.to_owned(),
            count(limits.payload_bytes),
            bounded(limits.client_id_bytes),
            yes(limits.retained),
            if limits.mqtt5 { "3.1.1, 5" } else { "3.1.1" }.to_owned(),
            count(limits.inflight.map(usize::from)),
            count(limits.publishes_per_s.map(|rate| rate as usize)),
        ];
        assert_eq!(&row(profile)[2..11], expected, "{}", profile.as_str());
    }
}

#[test]
fn a_profile_is_read_by_the_name_that_it_says() {
    for profile in Profile::ALL {
        let text = format!("\"{}\"", profile.as_str());
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
    }
}

/// What goes as `portable` goes everywhere, but where a broker wants something of a client id.
#[test]
fn portable_is_the_least_of_all() {
    let least = Profile::Portable.limits();
    for profile in Profile::ALL {
        let limits = profile.limits();
        assert!(least.topic_bytes <= limits.topic_bytes);
        assert!(least.topic_levels <= limits.topic_levels);
        assert!(least.payload_bytes <= limits.payload_bytes.or(least.payload_bytes));
        assert!(limits.retained || !least.retained);
    }
}

#[test]
fn what_an_operator_says_stands_in_place_of_the_profile() {
    let overrides: Overrides =
        toml::from_str("payload_bytes = 2048\nretained = true\npublishes_per_s = 7").unwrap();
    let limits = overrides.over(Profile::Portable.limits());
    assert_eq!(limits.payload_bytes, Some(2_048));
    assert!(limits.retained);
    assert_eq!(limits.publishes_per_s, Some(7));
    assert_eq!(limits.topic_bytes, 64);
}
