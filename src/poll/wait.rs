//! How long a poll may wait for news.

use std::time::Duration;

use super::source::Source;
use crate::config::wait::WaitUnit;

/// Where a request says how long it waits, and what it may say. As it comes: never.
#[derive(Debug, Clone, Default)]
pub(super) struct Wait {
    /// `None`: clients cannot choose.
    pub(super) source: Option<Source>,
    pub(super) unit: WaitUnit,
    /// What counts when the request does not say.
    pub(super) default: Duration,
    /// What counts when the request asks for more.
    pub(super) max: Duration,
}

impl Wait {
    /// The time that a request allows; without a text, what counts when it does not say. The error
    /// says what is wrong with it.
    pub(super) fn read(&self, text: Option<&str>) -> Result<Duration, &'static str> {
        let Some(text) = text.filter(|_| self.source.is_some()) else {
            return Ok(self.default);
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(match self.unit {
                WaitUnit::Milliseconds => "must be a whole number of milliseconds",
                WaitUnit::Seconds => "must be a whole number of seconds",
            });
        }
        // What does not fit is as long as can be.
        let number = text.parse().unwrap_or(u64::MAX);
        let asked = match self.unit {
            WaitUnit::Milliseconds => Duration::from_millis(number),
            WaitUnit::Seconds => Duration::from_secs(number),
        };
        Ok(asked.min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(unit: WaitUnit, text: Option<&str>) -> Result<Duration, &'static str> {
        let wait = Wait {
            source: Some(Source::Query("wait".into())),
            unit,
            default: Duration::from_millis(7),
            max: Duration::from_secs(30),
        };
        wait.read(text)
    }

    #[test]
    fn a_wait_is_a_whole_number_and_has_an_end() {
        let ms = |text: &str| read(WaitUnit::Milliseconds, Some(text));
        assert_eq!(
            read(WaitUnit::Milliseconds, None),
            Ok(Duration::from_millis(7))
        );
        assert_eq!(ms("0"), Ok(Duration::ZERO));
        assert_eq!(ms("1500"), Ok(Duration::from_millis(1_500)));
        for much in ["30001", "99999999999999999999999"] {
            assert_eq!(ms(much), Ok(Duration::from_secs(30)));
        }
        for wrong in ["-1", "1.5", "1s", "+3", "0x1"] {
            let why = ms(wrong).expect_err(wrong);
            assert_eq!(why, "must be a whole number of milliseconds");
        }
        let s = |text: &str| read(WaitUnit::Seconds, Some(text));
        assert_eq!(s("25"), Ok(Duration::from_secs(25)));
        assert_eq!(s("x"), Err("must be a whole number of seconds"));
    }

    #[test]
    fn without_configuration_nothing_waits() {
        assert_eq!(Wait::default().read(Some("5")), Ok(Duration::ZERO));
    }
}
