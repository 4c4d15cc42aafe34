//! What a program on this machine may do on the supervised server without a login: listen to events, raise and
//! resolve alerts, and read what is on a stream or true now. Nothing else, and never instead of a worker.
//!
//! Subscribers are users of the product, and on one machine a login would only be copied around. The server
//! listens on loopback only, and no event holds a secret. A guest makes no consumers: a consumer delivers to
//! whatever subject its maker names, and no permission looks into that. An operator can shut the door.

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
    ];
    let mut subjects: Vec<String> = fixed.iter().map(|&subject| subject.to_owned()).collect();
    // The configuration names hashes of tokens, and who leads is nobody's business.
    let buckets =
        [table::Bucket::Health, table::Bucket::Routes].map(|bucket| format!("KV_{}", bucket.name()));
    let streams = table::STREAMS.iter().map(|stream| stream.name.to_owned());
    for stream in streams.chain(buckets) {
        subjects.push(format!("$JS.API.STREAM.MSG.GET.{stream}"));
        subjects.push(format!("$JS.API.DIRECT.GET.{stream}"));
        subjects.push(format!("$JS.API.DIRECT.GET.{stream}.>"));
    }
    subjects
}

fn list(subjects: &[String]) -> String {
    subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
}

/// The permissions as the server's configuration has them.
pub(super) fn permissions() -> String {
    format!(
        "publish: {{ allow: [{}] }}, subscribe: {{ allow: [\"sb.v1.>\", \"_INBOX.>\"] }}",
        list(&publish())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(subject: &str) -> bool {
        publish().iter().any(|pattern| table::matches(pattern, subject))
    }

    #[test]
    fn a_guest_raises_alerts_and_reads_and_does_no_workers_job() {
        for good in [
            "sb.v1.alert.critical.screener.raised",
            "$JS.API.DIRECT.GET.KV_routes.$KV.routes.quotes",
            "$JS.API.INFO",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "sb.v1.health.x.observed",
            "sb.v1.audit.user-admin.recorded",
            "sb.ask.v1.prober.test",
            "$KV.config.snapshot",
            "$JS.API.DIRECT.GET.KV_config.$KV.config.snapshot",
            "$JS.API.CONSUMER.CREATE.ALERTS",
            "$JS.API.CONSUMER.CREATE.ALERTS.mine.sb.v1.alert.>",
            "$JS.API.CONSUMER.DURABLE.CREATE.ALERTS.mine",
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
