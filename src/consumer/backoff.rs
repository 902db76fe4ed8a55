//! Pauses between tries: each twice as long as the one before, and never quite the same, so that many engines that lost one
//! broker do not come back to it in step.

use std::time::Duration;

use uuid::Uuid;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// From `first`, doubling up to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries: 0 }
    }

    /// The next pause: between half of what it could be and all of it.
    pub fn pause(&mut self) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        // A random id is random enough here, and needs no further crate.
        let share = Uuid::new_v4().as_bytes()[0];
        whole.mul_f64(0.5 + f64::from(share) / 510.0)
    }

    /// All is well again: the next pause is a short one.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for wanted in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let pause = backoff.pause().as_secs_f64();
            assert!(pause >= wanted / 2.0 && pause <= wanted, "{pause} for {wanted}");
        }
        for _ in 0..100 {
            assert!(backoff.pause() <= Duration::from_secs(30), "however often");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(1));
    }
}
