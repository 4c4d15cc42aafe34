//! Decides when a webhook may send its next message. Pure: counts and the moment are arguments.
//!
//! The user's rate and the kind's own pace are sliding windows that must both have room. What was sent is counted from
//! the database, so that a restart or another replica changes nothing. Sources: Slack, Discord and PagerDuty on
//! their webhooks' limits (about one a second; five in two seconds; 120 a minute).

use std::time::Duration;

use model::Timestamp;
use model::webhook::{Rate, WebhookKind};

/// Into how many steps a full window is divided to find when it has room again.
const STEPS: u32 = 16;

/// At most `max` messages in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Messages; at least 1.
    pub(crate) max: u64,
    /// Length of the window.
    pub(crate) per: Duration,
}

/// The windows that hold for a webhook.
pub(crate) fn paces(kind: WebhookKind, rate: Option<Rate>) -> Vec<Pace> {
    let own = match kind {
        WebhookKind::Slack => Some(Pace { max: 1, per: Duration::from_secs(1) }),
        WebhookKind::Discord => Some(Pace { max: 5, per: Duration::from_secs(2) }),
        WebhookKind::Pagerduty => Some(Pace { max: 120, per: Duration::from_secs(60) }),
        WebhookKind::Http => None,
    };
    let wanted = rate.map(|rate| Pace {
        max: u64::from(rate.max.max(1)),
        per: Duration::from_secs(u64::from(rate.per_secs.max(1))),
    });
    own.into_iter().chain(wanted).collect()
}

impl Pace {
    /// The beginnings of windows to count in, oldest first: the first says whether there is room now.
    pub(crate) fn points(&self, now: Timestamp) -> Vec<Timestamp> {
        (0..=STEPS).map(|step| now.minus(self.per).plus(self.per * step / STEPS)).collect()
    }

    /// When a window that begins at `point`, in which so many messages were sent until now, has room; if it has.
    pub(crate) fn room_at(&self, point: Timestamp, sent: u64) -> Option<Timestamp> {
        (sent < self.max).then(|| point.plus(self.per))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the next message may go, for messages sent at these milliseconds.
    fn next(pace: Pace, sent: &[i64], now: i64) -> i64 {
        let now = Timestamp::from_millis(now);
        let since = |point: Timestamp| sent.iter().filter(|at| **at >= point.as_millis()).count() as u64;
        let room = pace.points(now).into_iter().find_map(|point| pace.room_at(point, since(point)));
        room.unwrap_or_else(|| now.plus(pace.per)).as_millis()
    }

    #[test]
    fn there_is_room_until_the_window_is_full_and_again_when_its_oldest_leaves() {
        let pace = Pace { max: 2, per: Duration::from_secs(16) };
        assert_eq!(next(pace, &[], 100_000), 100_000);
        assert_eq!(next(pace, &[99_000], 100_000), 100_000);
        // The older of the two leaves the window 16 s after it was sent; found to a sixteenth.
        let at = next(pace, &[90_500, 99_000], 100_000);
        assert!((106_500..=107_500).contains(&at), "{at}");
    }

    #[test]
    fn sending_as_told_never_breaks_the_pace() {
        for pace in
            [Pace { max: 5, per: Duration::from_secs(2) }, Pace { max: 1, per: Duration::from_secs(1) }]
        {
            let (mut sent, mut now) = (Vec::new(), 1_000_000);
            for _ in 0..50 {
                let mut at = next(pace, &sent, now);
                while at > now {
                    now = at;
                    at = next(pace, &sent, now);
                }
                sent.push(now);
                let window = now - pace.per.as_millis() as i64;
                assert!(sent.iter().filter(|at| **at > window).count() as u64 <= pace.max);
                now += 7;
            }
        }
    }

    #[test]
    fn the_users_rate_stands_beside_the_kinds_own() {
        assert_eq!(paces(WebhookKind::Slack, Some(Rate { max: 10, per_secs: 60 })).len(), 2);
        assert_eq!(paces(WebhookKind::Http, None), Vec::new());
        assert_eq!(paces(WebhookKind::Http, Some(Rate { max: 0, per_secs: 0 }))[0].max, 1);
    }
}
