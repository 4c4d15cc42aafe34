//! Which delivery of a lane comes next. Pure words of SQL and numbers; `lanes` asks with them.
//!
//! The most urgent one, of these the oldest; yet the deliveries of one alert keep their order, so what is urgent first
//! lets earlier ones of its own alert pass. What waits long is not forgotten: a delivery that is older than
//! [`PATIENCE`] and was passed by [`OVERTAKEN_MAX`] others in a row has the next turn. Never by turns of age alone: behind a
//! long backlog everything is old, and a page would wait again.

use std::time::Duration;

use model::Timestamp;
use model::alert::Severity;

/// How long a delivery lets more urgent ones pass without end.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// Attempts in a row that may pass the oldest delivery once its patience is over: it has one turn in ten.
pub const OVERTAKEN_MAX: u32 = 9;

/// How urgent a delivery is, 0 first. The end of an alert is as urgent as its beginning: who was woken may sleep.
pub(crate) const fn urgency(severity: Severity) -> u32 {
    match severity {
        Severity::Critical => 0,
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Info => 3,
    }
}

/// Deliveries made before this have lost their patience.
pub(crate) fn impatient_since(now: Timestamp) -> Timestamp {
    now.minus(PATIENCE)
}

/// The `seq` of the oldest delivery of a webhook, when it must not be passed any more: a scalar expression of the
/// webhook's expression and two places, [`impatient_since`] and [`OVERTAKEN_MAX`]. NULL when it may.
macro_rules! impatient {
    ($webhook:literal, $since:literal, $max:literal) => {
        concat!(
            "(SELECT oldest.seq FROM deliveries oldest WHERE oldest.seq =
                (SELECT MIN(first.seq) FROM deliveries first
                 WHERE first.webhook = ",
            $webhook,
            " AND first.state = 'pending')
              AND oldest.created_at <= ",
            $since,
            "
              AND EXISTS (SELECT 1 FROM lanes patient
                          WHERE patient.webhook = ",
            $webhook,
            " AND patient.overtaken >= ",
            $max,
            "))"
        )
    };
}
pub(crate) use impatient;

/// The `seq` of a webhook's most urgent delivery, or of the first one that waits of the same alert.
macro_rules! urgent {
    ($webhook:literal) => {
        concat!(
            "(SELECT MIN(line.seq) FROM deliveries line
              WHERE line.webhook = ",
            $webhook,
            " AND line.state = 'pending' AND line.fingerprint =
                (SELECT best.fingerprint FROM deliveries best
                 WHERE best.webhook = ",
            $webhook,
            " AND best.state = 'pending'
                 ORDER BY best.urgency, best.seq LIMIT 1))"
        )
    };
}
pub(crate) use urgent;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_the_sooner() {
        let mut order = Severity::ALL;
        order.sort_by_key(|severity| urgency(*severity));
        assert_eq!(order, [Severity::Critical, Severity::Error, Severity::Warning, Severity::Info]);
        assert_eq!(order.map(urgency), [0, 1, 2, 3]);
    }
}
