//! Finds the address a webhook's messages go to, from its secrets. Pure. An address is a secret: no error repeats it.

use model::Secret;
use model::secret::Fields;
use model::webhook::WebhookKind;
use url::Url;

/// PagerDuty's Events API v2, service region US.
pub(crate) const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// The version of Discord's API whose waits are seconds.
const DISCORD_VERSION: &str = "v10";

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// It is not among the webhook's secrets.
    #[error("the key store has no `url` for this webhook")]
    Missing,
    /// It is not a URL.
    #[error("the webhook's `url` is not a URL")]
    Malformed,
    /// It is not one of Discord's webhooks.
    #[error("the webhook's `url` is not Discord's: its path must be /api/webhooks/<id>/<token>")]
    NotDiscords,
}

/// The address to send to.
pub(crate) fn address(kind: WebhookKind, fields: &Fields) -> Result<Secret, Wrong> {
    let given = fields.get("url").filter(|url| !url.is_empty());
    match (kind, given) {
        (WebhookKind::Pagerduty, None) => Ok(Secret::new(PAGERDUTY.to_owned())),
        (_, None) => Err(Wrong::Missing),
        (WebhookKind::Discord, Some(url)) => discord(url.expose()),
        (_, Some(url)) => Ok(url.clone()),
    }
}

/// Puts the API's version in, and asks for an answer that says whether the message was saved.
fn discord(text: &str) -> Result<Secret, Wrong> {
    let mut url = Url::parse(text).map_err(|_| Wrong::Malformed)?;
    let parts: Vec<String> =
        url.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let version = |part: &str| {
        part.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
    };
    // Behind the token may stand `slack` or `github`: those want other bodies than ours.
    let (id, token) = match parts.as_slice() {
        ["api", "webhooks", id, token, ..] => (*id, *token),
        ["api", v, "webhooks", id, token, ..] if version(v) => (*id, *token),
        _ => return Err(Wrong::NotDiscords),
    };
    let path = format!("/api/{DISCORD_VERSION}/webhooks/{id}/{token}");
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "wait")
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect();
    url.set_path(&path);
    url.query_pairs_mut().clear().append_pair("wait", "true").extend_pairs(kept);
    Ok(Secret::new(url.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: WebhookKind, url: Option<&str>, expected: Result<&str, Wrong>) {
        let fields: Fields =
            url.map(|url| ("url".to_owned(), Secret::new(url.to_owned()))).into_iter().collect();
        let found = address(kind, &fields);
        assert_eq!(found.as_ref().map(Secret::expose).map_err(|wrong| *wrong), expected, "{url:?}");
    }

    #[test]
    fn discord_is_asked_in_its_tenth_version_and_for_an_answer() {
        let wanted = Ok("https://discord.com/api/v10/webhooks/1/tok?wait=true");
        check(WebhookKind::Discord, Some("https://discord.com/api/webhooks/1/tok"), wanted);
        check(
            WebhookKind::Discord,
            Some("https://discord.com/api/v6/webhooks/1/tok/slack?wait=false"),
            wanted,
        );
        check(
            WebhookKind::Discord,
            Some("https://ptb.discord.com/api/webhooks/1/tok?thread_id=9"),
            Ok("https://ptb.discord.com/api/v10/webhooks/1/tok?wait=true&thread_id=9"),
        );
        check(WebhookKind::Discord, Some("https://discord.com/channels/1"), Err(Wrong::NotDiscords));
        check(WebhookKind::Discord, Some("discord"), Err(Wrong::Malformed));
    }

    #[test]
    fn pagerduty_has_an_address_of_its_own() {
        check(WebhookKind::Pagerduty, None, Ok(PAGERDUTY));
        let europe = "https://events.eu.pagerduty.com/v2/enqueue";
        check(WebhookKind::Pagerduty, Some(europe), Ok(europe));
        check(WebhookKind::Slack, None, Err(Wrong::Missing));
        check(WebhookKind::Http, Some("https://example.com/x?y#"), Ok("https://example.com/x?y#"));
    }
}
