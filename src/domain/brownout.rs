//! A brown-out: a short announced time in which polls are refused, so that those who still poll are found before the end.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Invalid, Micros};

/// A part of a day in UTC, as `tue 10:00-10:15`, `daily 10:00-10:15` or `2027-02-01 10:00-10:15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Brownout {
    day: Day,
    /// Minutes of the day; `until` is the first one after it.
    from: u16,
    until: u16,
}

/// On which days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Day {
    Daily,
    /// 0 is Monday.
    Weekly(u8),
    /// Days since the Unix epoch.
    On(i64),
}

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_S: i64 = 86_400;
const MINUTE_S: i64 = 60;

impl Brownout {
    /// How much of it is left; `None` if it is not now.
    pub fn left(self, now: Micros) -> Option<Duration> {
        let (day, second) = (
            now.as_secs().div_euclid(DAY_S),
            now.as_secs().rem_euclid(DAY_S),
        );
        let is_the_day = match self.day {
            Day::Daily => true,
            // The epoch began on a Thursday.
            Day::Weekly(of_week) => (day + 3).rem_euclid(7) == i64::from(of_week),
            Day::On(date) => day == date,
        };
        let begun = i64::from(self.from) * MINUTE_S <= second;
        let left = i64::from(self.until) * MINUTE_S - second;
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        (is_the_day && begun).then(|| Duration::from_secs(left))
    }
}

impl FromStr for Day {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "daily" {
            return Ok(Self::Daily);
        }
        let of_week = WEEK.iter().position(|name| *name == text);
        if let Some(of_week) = of_week.and_then(|n| u8::try_from(n).ok()) {
            return Ok(Self::Weekly(of_week));
        }
        // Ten characters are a date without anything more.
        let date = Some(text).filter(|text| text.len() == 10).ok_or(())?;
        let begin = humantime::parse_rfc3339(&format!("{date}T00:00:00Z")).map_err(|_| ())?;
        Ok(Self::On(Micros::from(begin).as_secs().div_euclid(DAY_S)))
    }
}

/// `10:15` as minutes of the day, up to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let sum = hours * 60 + minutes;
    (minutes < 60 && sum <= 24 * 60).then_some(sum)
}

impl FromStr for Brownout {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = |why: &str| {
            let shown: String = text.chars().take(64).collect();
            Invalid::new("brownout", format!("`{}` {why}", shown.escape_debug()))
        };
        let form = "must be a day and a time in UTC, such as `tue 10:00-10:15`, `daily 10:00-10:15` or `2027-02-01 10:00-10:15`";
        let parts = text.split_once(' ').and_then(|(day, time)| {
            let (from, until) = time.split_once('-')?;
            Some((day.parse().ok()?, minutes(from)?, minutes(until)?))
        });
        let (day, from, until) = parts.ok_or_else(|| refused(form))?;
        if from >= until {
            return Err(refused("must end after it begins, on the same day"));
        }
        Ok(Self { day, from, until })
    }
}

impl TryFrom<String> for Brownout {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Brownout> for String {
    fn from(brownout: Brownout) -> Self {
        brownout.to_string()
    }
}

impl fmt::Display for Brownout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.day {
            Day::Daily => f.write_str("daily")?,
            Day::Weekly(of_week) => f.write_str(WEEK[usize::from(of_week)])?,
            Day::On(date) => {
                let begin = Micros::new(date.saturating_mul(DAY_S).saturating_mul(1_000_000));
                let begin = humantime::format_rfc3339_seconds(begin.into()).to_string();
                f.write_str(&begin[..10])?;
            }
        }
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, " {}-{}", time(self.from), time(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        humantime::parse_rfc3339(text).unwrap().into()
    }

    #[test]
    fn it_is_at_its_time_on_its_day_and_never_else() {
        for (brownout, now, left) in [
            // 2027-03-02 is a Tuesday.
            ("tue 10:00-10:15", "2027-03-02T09:59:59.999Z", None),
            ("tue 10:00-10:15", "2027-03-02T10:00:00Z", Some(900)),
            ("tue 10:00-10:15", "2027-03-02T10:14:59Z", Some(1)),
            ("tue 10:00-10:15", "2027-03-02T10:15:00Z", None),
            ("tue 10:00-10:15", "2027-03-03T10:05:00Z", None),
            ("tue 10:00-10:15", "2027-03-09T10:05:00Z", Some(600)),
            ("sun 23:00-24:00", "2027-03-07T23:30:00Z", Some(1_800)),
            ("mon 00:00-00:01", "2027-03-08T00:00:00Z", Some(60)),
            ("daily 10:00-10:15", "2031-01-01T10:10:00Z", Some(300)),
            ("2027-02-01 10:00-10:15", "2027-02-01T10:10:00Z", Some(300)),
            ("2027-02-01 10:00-10:15", "2027-02-08T10:10:00Z", None),
        ] {
            let parsed: Brownout = brownout.parse().unwrap();
            let found = parsed.left(at(now)).map(|left| left.as_secs());
            assert_eq!(found, left, "{brownout} at {now}");
            assert_eq!(parsed.to_string(), brownout);
        }
        let dawn: Brownout = "wed 23:00-24:00".parse().unwrap();
        assert!(dawn.left(Micros::new(-1)).is_some(), "before the epoch");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "tue",
            "Tue 10:00-10:15",
            "tue 10:00",
            "tue 10:00-25:00",
            "tue 10:60-11:00",
            "tue 1:00-2:00",
            "tue 10:15-10:00",
            "tue 10:00-10:00",
            "2027-02-30 10:00-10:15",
            "2027-2-1 10:00-10:15",
            "tue  10:00-10:15",
        ] {
            assert!(text.parse::<Brownout>().is_err(), "{text}");
        }
    }
}
