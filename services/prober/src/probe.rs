//! Asks one question and says what came of it. Publishes nothing.

use std::time::Duration;

use bytes::Bytes;
use catalogue::{Answer as Seen, judge, judge_probe};
use egress::sign::{Moment, Nonces, Prepared};
use egress::{Answer, Failure, FetchLimits, credential};
use http::Request;
use http::request::Parts;
use model::auth::Auth;
use model::health::{Check, Observed, Reason};
use model::integration::Integration;
use model::secret::Fields;
use model::snapshot::KeyRef;
use model::{KeyId, Timestamp};
use vault::{Path, Vault};

use crate::Prober;
use crate::question::{self, About, Question};
use crate::schedule::patience;
use crate::till::Paid;

/// Bytes of an answer that are read: enough for every documented health answer.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Header fields of an answer.
const HEADERS_MAX: usize = 100;
/// Characters of a detail.
const DETAIL_CHARS_MAX: usize = 200;

/// What was seen, and how long the answer took, where there was one: observations say it in whole milliseconds.
pub(crate) type Timed = (Observed, Option<Duration>);

/// Which credential to show.
pub(crate) enum With<'a> {
    /// The key's active version, as the snapshot has it.
    Active(Option<&'a KeyRef>),
    /// A certain version of the stored key.
    Version(u32),
    /// Values that are being tried.
    Trial(Path),
}

/// Why nothing was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unasked {
    /// A limit counts it.
    #[error("nothing is left of the limit `{0}`: the provider was not asked")]
    Unpaid(String),
    /// It is not known whether one has something left.
    #[error("what is left of its limits cannot be read now: the provider was not asked")]
    Unknown,
}

/// What is wrong before anything was asked, or afterwards.
enum Trouble {
    Seen(Reason, String),
    Unasked(Unasked),
}

/// Asks, if it can be paid. With an interval, in the time that a scheduled question may take; without one, in the configured time.
pub(crate) async fn probe(
    prober: &Prober,
    it: &Integration,
    with: With<'_>,
    every: Option<Duration>,
) -> Result<Timed, Unasked> {
    let (mut seen, mut took) = (nothing_seen(it), None);
    seen.requests = 1;
    seen.every_secs = every.and_then(|every| u32::try_from(every.as_secs()).ok());
    let outcome = ask(prober, it, with, every, (&mut seen, &mut took)).await;
    seen.at = Timestamp::now();
    match outcome {
        Ok(()) => {}
        Err(Trouble::Unasked(why)) => return Err(why),
        Err(Trouble::Seen(reason, detail)) => {
            seen.reason = Some(reason);
            seen.failures = u32::from(reason != Reason::BadRequest && reason != Reason::Slow);
            seen.detail = Some(detail.chars().take(DETAIL_CHARS_MAX).collect());
        }
    }
    Ok((seen, took))
}

fn nothing_seen(it: &Integration) -> Observed {
    Observed {
        integration: it.id.clone(),
        provider: it.provider.clone(),
        check: Check::Probe,
        at: Timestamp::now(),
        reason: None,
        requests: 0,
        failures: 0,
        status_code: None,
        latency_ms: None,
        phases: None,
        every_secs: None,
        detail: None,
    }
}

impl Unasked {
    /// What it says of an integration, for who asked.
    pub(crate) fn seen(&self, it: &Integration) -> Observed {
        let reason = Some(Reason::QuotaExhausted);
        Observed { reason, detail: Some(self.to_string()), ..nothing_seen(it) }
    }
}

/// Asks nobody who bans us: whoever asks meanwhile is banned for longer. What he said is what there is to see. One who wants
/// fewer calls for a time is asked: that costs nothing, and shows when he takes calls again.
async fn heed(prober: &Prober, it: &Integration, with: &With<'_>) -> Result<(), Trouble> {
    let With::Active(key) = with else { return Ok(()) };
    let version = key.and_then(|key| key.version);
    let Some(key) = question::pause(prober.catalogue, it, version) else { return Ok(()) };
    match prober.till.paused(&key).await {
        Some((reason @ Reason::Banned, left_ms)) => {
            let secs = left_ms.div_ceil(1_000);
            let why = format!("the provider bans us for another {secs} s: it was not asked");
            Err(Trouble::Seen(reason, why))
        }
        _ => Ok(()),
    }
}

/// Pays for a question. Values that are on trial are asked with in any case: they may be another account's, whose limits
/// are not these.
async fn pay(prober: &Prober, it: &Integration, with: &With<'_>, about: About) -> Result<(), Trouble> {
    let snapshot = prober.snapshot.borrow().clone();
    let dues = question::dues(prober.catalogue, snapshot.as_deref(), it, about);
    let is_trial = !matches!(with, With::Active(_));
    match prober.till.pay(&dues).await {
        Paid::Yes => Ok(()),
        _ if is_trial => Ok(()),
        Paid::Nothing(limit) => Err(Trouble::Unasked(Unasked::Unpaid(limit))),
        Paid::Unknown => Err(Trouble::Unasked(Unasked::Unknown)),
    }
}

async fn ask(
    prober: &Prober,
    it: &Integration,
    with: With<'_>,
    every: Option<Duration>,
    (seen, took): (&mut Observed, &mut Option<Duration>),
) -> Result<(), Trouble> {
    let about = if matches!(with, With::Active(_)) { About::Provider } else { About::Key };
    let question = question::question(prober.catalogue, &prober.settings, it, about)
        .map_err(|(reason, detail)| Trouble::Seen(reason, detail))?;
    let fields = fields(&prober.vault, it, &with, &question).await?;
    heed(prober, it, &with).await?;
    pay(prober, it, &with, about).await?;
    let Question { provider, probe, auth, request, timeout, slow, .. } = question;
    let timeout = every.map_or(timeout, |every| patience::timeout(every, timeout, slow));
    let (mut head, mut body) = request.into_parts();
    match &fields {
        Some(fields) => {
            show(&auth, fields, &mut head, &mut body)
                .map_err(|error| Trouble::Seen(Reason::KeyUnavailable, error))?;
        }
        None => credential::strip(&mut head.headers),
    }
    let limits = FetchLimits {
        deadline_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        body_bytes_max: BODY_BYTES_MAX,
        headers_max: HEADERS_MAX,
    };
    let answer = match prober.egress.fetch(Request::from_parts(head, body), limits).await {
        Ok(answer) => answer,
        Err(failure) => return Err(failed(&failure, seen)),
    };
    seen.status_code = Some(answer.status.as_u16());
    seen.latency_ms = Some(answer.total_ms);
    *took = Some(answer.took);
    seen.phases = Some(answer.phases);
    judged(provider, probe, &answer, fields.is_some())?;
    if Duration::from_millis(answer.total_ms.into()) > slow {
        return Err(Trouble::Seen(
            Reason::Slow,
            format!("answered in {} ms, slow is from {} ms", answer.total_ms, slow.as_millis()),
        ));
    }
    Ok(())
}

/// Puts the key on a question, by the provider's scheme. An error is a sentence without a value.
fn show(auth: &Auth, fields: &Fields, head: &mut Parts, body: &mut Bytes) -> Result<(), String> {
    static NONCES: Nonces = Nonces::new();
    if !auth.is_signed() {
        return credential::apply(auth, fields, head).map_err(|error| error.to_string());
    }
    // A question comes seldom: nothing is kept of the key between two, and the provider's clock is not learned.
    let prepared = Prepared::new(auth, fields).map_err(|error| error.to_string())?;
    prepared.sign(head, body, &Moment::now(0, &NONCES)).map_err(|error| error.to_string())
}

fn failed(failure: &Failure, seen: &mut Observed) -> Trouble {
    seen.status_code = failure.status.map(|status| status.as_u16());
    seen.phases = Some(failure.phases);
    Trouble::Seen(failure.error.reason(), failure.error.to_string())
}

fn judged(
    provider: &catalogue::Provider,
    probe: Option<&catalogue::Probe>,
    answer: &Answer,
    with_key: bool,
) -> Result<(), Trouble> {
    let headers: Vec<(&str, &str)> = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let told = Seen { status: answer.status.as_u16(), headers: &headers, body: &answer.body };
    let verdict = match probe {
        Some(probe) => judge_probe(provider, probe, &told),
        None => judge(provider, &told),
    };
    let Some(reason) = verdict.reason else { return Ok(()) };
    // Without a key a refusal for want of one shows that the provider answers.
    if !with_key && reason == Reason::BadCredentials {
        return Ok(());
    }
    let detail = verdict.detail.unwrap_or_else(|| format!("answered {}", answer.status.as_u16()));
    Err(Trouble::Seen(reason, detail))
}

async fn fields(
    vault: &Vault,
    it: &Integration,
    with: &With<'_>,
    question: &Question<'_>,
) -> Result<Option<Fields>, Trouble> {
    let needed = !matches!(question.auth, Auth::None {});
    // A public question is not signed: it says no less, and spends no nonce.
    if !needed || (!question.needs_key && question.auth.is_signed()) {
        return Ok(None);
    }
    let (path, version) = match (with, &it.key) {
        (With::Trial(path), _) => (path.clone(), None),
        (_, None) => return Ok(None),
        (With::Version(version), Some(key)) => (Path::key(key), Some(*version)),
        (With::Active(key), Some(id)) => (Path::key(id), Some(active(id, *key)?)),
    };
    match vault.read(&path, version).await {
        Ok(held) => Ok(Some(held.fields)),
        Err(error) => {
            Err(Trouble::Seen(Reason::KeyUnavailable, format!("the key could not be read: {error}")))
        }
    }
}

fn active(id: &KeyId, key: Option<&KeyRef>) -> Result<u32, Trouble> {
    let key = key.ok_or_else(|| Trouble::Seen(Reason::KeyUnavailable, format!("there is no key `{id}`")))?;
    let version =
        key.version.ok_or_else(|| Trouble::Seen(Reason::KeyRevoked, format!("the key `{id}` is revoked")))?;
    if key.expires_at.is_some_and(|at| at <= Timestamp::now()) {
        return Err(Trouble::Seen(Reason::KeyExpired, format!("the key `{id}` has expired")));
    }
    Ok(version)
}
