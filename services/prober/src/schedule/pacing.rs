//! Which starts of the interval are used where a limit counts questions: few while all is well, more in trouble. Pure.
//!
//! In the long run questions are `paced`; a burst of them may be asked at every start, for limits of a month allow more in
//! an hour than all through it (GCRA, RFC 2698's bucket as one moment). A provider that is down has no calls that a question
//! could take away, and its end must not wait for half a day: in trouble a question is asked at the next start, then after
//! twice, four times, eight times as long, so that an end is known within about as long again as the trouble lasted.

use std::time::Duration;

use model::Timestamp;

/// Which starts are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacing {
    /// From start to start.
    every: Duration,
    /// From question to question in the long run.
    paced: Duration,
    /// How far questions may be ahead of that.
    ahead: Duration,
    /// When the next one would be asked in the long run.
    next: Option<Timestamp>,
    /// When the last one was asked.
    asked: Option<Timestamp>,
    /// How long after that the next one is asked in trouble.
    wait: Duration,
}

impl Pacing {
    /// Starts come `every` so long; in the long run questions are `paced`, and so many may be ahead of that.
    pub(crate) fn new(every: Duration, paced: Duration, burst: u32) -> Self {
        let paced = paced.max(every);
        Self { every, paced, ahead: paced.saturating_mul(burst), next: None, asked: None, wait: every }
    }

    /// From question to question in the long run.
    pub(crate) fn paced(&self) -> Duration {
        self.paced
    }

    /// Whether some starts are left out.
    pub(crate) fn leaves_out(&self) -> bool {
        self.paced > self.every
    }

    /// Whether a question is asked at this start. Then it is taken as asked.
    pub(crate) fn is_used(&mut self, now: Timestamp, in_trouble: bool) -> bool {
        // Starts are moved by chance: half an interval too soon is in time.
        let early = self.every / 2;
        let next = self.next.unwrap_or(now);
        let is_paced = next.since(now) <= self.ahead + early;
        let is_late = self.asked.is_none_or(|asked| now.since(asked) + early >= self.wait);
        let is_used = is_paced || (in_trouble && is_late);
        if !in_trouble {
            self.wait = self.every;
        } else if is_used && !is_paced {
            self.wait = self.wait.saturating_mul(2).min(self.paced);
        }
        if is_used {
            self.asked = Some(now);
            self.next = Some(next.max(now).plus(self.paced).min(now.plus(self.ahead + self.paced)));
        }
        is_used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts at which a question is asked, of those whose minute stands in a string: `x` is trouble, `.` is none.
    fn check(paced_mins: u32, burst: u32, starts: &str, wanted: &str) {
        let minute = Duration::from_secs(60);
        let mut pacing = Pacing::new(minute, minute * paced_mins, burst);
        let got: String = starts
            .char_indices()
            .map(|(at, start)| {
                // Each a little before or after its minute.
                let moved = if at % 2 == 0 { 400 } else { -400 };
                let now = Timestamp::from_millis(i64::try_from(at).expect("small") * 60_000 + moved + 60_000);
                if pacing.is_used(now, start == 'x') { '!' } else { '-' }
            })
            .collect();
        assert_eq!(got, wanted, "{starts}");
    }

    #[test]
    fn every_start_is_used_where_no_limit_is_in_the_way() {
        check(1, 0, "..x..", "!!!!!");
        check(0, 0, "..x..", "!!!!!");
    }

    #[test]
    fn while_all_is_well_few_are_used() {
        check(5, 0, "...........", "!----!----!");
    }

    #[test]
    fn some_may_be_asked_ahead_of_the_others() {
        check(5, 2, "....................", "!!!--!----!----!----");
        check(2, 9, "......................", "!!!!!!!!!!!!!!!!!!!-!-");
    }

    #[test]
    fn trouble_is_asked_at_once_and_then_ever_less() {
        check(20, 0, "...xxxxxxxxxxxxxxxxxxxxxxx", "!--!-!---!-------!--------");
        check(5, 0, "..xxxxxxxxxxxxx", "!-!-!---!----!-");
    }

    #[test]
    fn after_trouble_the_next_one_begins_anew() {
        check(20, 0, ".xxxx....xx", "!!-!-----!-");
    }
}
