//! What a program on this machine may do on the supervised server without a login: listen to events, raise and
//! resolve alerts, and read streams and buckets. Nothing else, and never instead of a worker.
//!
//! Subscribers are users of the product, and on one machine a login would only be copied around. The server
//! listens on loopback only; no event and no bucket holds a secret. An operator can shut the door.

use crate::table;

/// Whom the server takes for a client that names nobody.
pub(super) const GUEST: &str = "guest";

/// What guests may publish.
fn publish() -> Vec<String> {
    let fixed = [
        "sb.v1.alert.*.*.raised",
        "sb.v1.alert.*.*.resolved",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.CONSUMER.INFO.*.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.DIRECT.GET.>",
        "$JS.FC.>",
    ];
    let mut subjects: Vec<String> = fixed.iter().map(|&subject| subject.to_owned()).collect();
    // Work is for workers: that stream can be looked at, but not read.
    let streams = table::STREAMS
        .iter()
        .filter(|stream| stream.keep != table::Keep::Work)
        .map(|stream| stream.name.to_owned());
    let buckets = table::Bucket::ALL.iter().map(|bucket| format!("KV_{}", bucket.name()));
    for stream in streams.chain(buckets) {
        subjects.push(format!("$JS.API.CONSUMER.CREATE.{stream}"));
        subjects.push(format!("$JS.API.CONSUMER.CREATE.{stream}.>"));
        subjects.push(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"));
    }
    subjects
}

/// What guests may not publish although a wider subject is allowed: pulling instead of a worker, or changing one.
fn refused() -> Vec<String> {
    let worker = |durable: &table::Durable| {
        let (stream, name) = (durable.stream, durable.name);
        [
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.{name}.>"),
        ]
    };
    table::DURABLES.iter().flat_map(worker).collect()
}

fn list(subjects: &[String]) -> String {
    subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
}

/// The permissions as the server's configuration has them.
pub(super) fn permissions() -> String {
    format!(
        "publish: {{ allow: [{}], deny: [{}] }}, subscribe: {{ allow: [\"sb.v1.>\", \"_INBOX.>\"] }}",
        list(&publish()),
        list(&refused())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(subject: &str) -> bool {
        let any = |patterns: Vec<String>| patterns.iter().any(|pattern| table::matches(pattern, subject));
        any(publish()) && !any(refused())
    }

    #[test]
    fn a_guest_raises_alerts_and_reads_and_does_no_workers_job() {
        for good in [
            "sb.v1.alert.critical.screener.raised",
            "$JS.API.CONSUMER.CREATE.ALERTS.mine.sb.v1.alert.>",
            "$JS.API.INFO",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "sb.v1.health.x.observed",
            "sb.v1.audit.user-admin.recorded",
            "sb.ask.v1.prober.test",
            "$KV.config.snapshot",
            "$JS.API.STREAM.DELETE.ALERTS",
            "$JS.API.STREAM.PURGE.ALERTS",
            "$JS.API.CONSUMER.MSG.NEXT.ALERTS.webhooks",
            "$JS.API.CONSUMER.MSG.NEXT.DELIVERIES.deliveries",
            "$JS.API.CONSUMER.DELETE.ALERTS.webhooks",
            "$JS.ACK.ALERTS.webhooks.1.1.1.1.0",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
