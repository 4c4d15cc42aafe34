//! What PagerDuty's Events API v2 answers: 202 means taken; 400 names what is wrong with the event or its routing key.

use super::{Seen, Verdict};

pub(super) fn classify(seen: &Seen<'_>) -> Verdict {
    let errors = seen.json().and_then(|body| {
        let errors = body.get("errors")?.as_array()?;
        Some(errors.iter().filter_map(|error| error.as_str()).collect::<Vec<_>>().join("; "))
    });
    match (seen.status, errors) {
        (400, Some(errors)) if errors.to_lowercase().contains("routing_key") => Verdict::gone(seen.says()),
        (401 | 403 | 404, _) => Verdict::gone(seen.says()),
        _ => seen.by_status(),
    }
}
