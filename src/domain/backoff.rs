//! How long to wait before the next attempt.

use std::time::Duration;

/// A pause that doubles from `first` to `longest`, each time shortened at random by up to half, so
/// that replicas do not come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// A back-off between two bounds.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let longest = longest.max(first);
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// Something worked: the next pause is the shortest again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause. `chance` is between 0 and 1.
    pub fn pause(&mut self, chance: f64) -> Duration {
        let pause = self.next.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0);
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause(0.0)).collect();
        assert_eq!(pauses, [ms(100), ms(200), ms(350), ms(350)]);
        assert_eq!(backoff.pause(1.0), ms(175));
        backoff.reset();
        assert_eq!(backoff.pause(0.0), ms(100));
    }
}
