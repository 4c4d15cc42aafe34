//! The key of a call: fetched, and made ready once for each version of it, not at every call.
//!
//! What shows a key in headers is worked out beforehand; what signs is read beforehand. Values are marked as sensitive
//! and leave in requests to their provider only. A version that is forgotten is forgotten here within a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use egress::Blame;
use egress::credential::{self, CredentialError};
use egress::lane;
use egress::sign::{Moment, Nonces, Prepared, SignError};
use http::Request;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use model::auth::Auth;
use model::health::Reason;
use model::secret::Fields;

use super::echo::Needles;
use crate::Inner as Gateway;
use crate::snapshot::{Integration, KeyUse};

/// How long the key store may take to say a key, in milliseconds.
const WAIT_MS: u64 = 5_000;
/// For how long a key is used before it is asked again whether it still is what it was.
const FRESH: Duration = Duration::from_secs(1);

/// One source for all keys: what grows for all of them grows for each.
static NONCES: Nonces = Nonces::new();

/// Where an integration keeps its key.
#[derive(Default)]
pub(crate) struct Slot(ArcSwapOption<Held>);

struct Held {
    fields: Arc<Fields>,
    ready: Arc<Ready>,
    until: Instant,
}

/// A key, ready for requests.
pub(crate) struct Ready {
    how: How,
    /// Headers that carry further fields of it.
    further: Vec<(HeaderName, HeaderValue)>,
    /// What must not come back.
    pub(crate) needles: Needles,
}

enum How {
    /// These headers show it.
    Shown(Vec<(HeaderName, HeaderValue)>),
    /// It is shown in the URL, which differs from call to call.
    Written(Arc<Fields>),
    /// It signs.
    Signs(Box<Prepared>),
}

/// Why a request cannot have its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// The key does not fit the scheme.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// It cannot be signed with it.
    #[error(transparent)]
    Sign(#[from] SignError),
}

// === impl Unfit ===

impl Unfit {
    /// Whether the request is at fault, and not the key.
    pub(crate) fn is_callers(&self) -> bool {
        matches!(self, Self::Sign(error) if error.blame() == Blame::Caller)
    }

    /// Whether the request's body is too large.
    pub(crate) fn is_too_large(&self) -> bool {
        *self == Self::Sign(SignError::BodyTooLarge)
    }
}

// === impl Ready ===

impl Ready {
    fn new(integration: &Integration, fields: &Arc<Fields>) -> Result<Self, Unfit> {
        let auth = &integration.auth;
        let how = match auth {
            _ if auth.is_signed() => How::Signs(Box::new(Prepared::new(auth, fields)?)),
            Auth::Query { .. } => How::Written(fields.clone()),
            _ => {
                // What the scheme does to any request, it does to each.
                let mut head = Request::new(()).into_parts().0;
                credential::apply(auth, fields, &mut head)?;
                How::Shown(head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
            }
        };
        let further = integration.field_headers.iter().filter_map(|(name, field)| {
            let mut value = HeaderValue::from_str(fields.get(field)?.expose()).ok()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        });
        let further = further.collect();
        Ok(Self { how, further, needles: Needles::of(integration.provider, auth, Some(fields)) })
    }

    /// Whether it signs, so that the provider's clock matters.
    pub(crate) fn signs(&self) -> bool {
        matches!(self.how, How::Signs(_))
    }

    /// Whether it needs the whole body.
    pub(crate) fn reads_body(&self) -> bool {
        matches!(&self.how, How::Signs(prepared) if prepared.reads_body())
    }

    /// Puts it on a request whose credentials were taken off. Nothing may change the request afterwards.
    pub(crate) fn put_on(
        &self,
        integration: &Integration,
        head: &mut Parts,
        body: &mut Bytes,
    ) -> Result<(), Unfit> {
        match &self.how {
            How::Shown(headers) => {
                for (name, value) in headers {
                    head.headers.insert(name, value.clone());
                }
            }
            How::Written(fields) => credential::apply(&integration.auth, fields, head)?,
            How::Signs(prepared) => {
                let at = Moment::now(integration.live.skew.offset_ms(), &NONCES);
                prepared.sign(head, body, &at)?;
            }
        }
        Ok(())
    }

    /// The headers that go beside it, set before it signs.
    pub(crate) fn further(&self) -> &[(HeaderName, HeaderValue)] {
        &self.further
    }
}

/// The key of a call to this integration; nothing when it goes without. An error: why there is none to use.
pub(crate) async fn key(
    gateway: &Gateway,
    integration: &Integration,
    is_public: bool,
    left_ms: u64,
) -> Result<Option<Arc<Ready>>, Reason> {
    if is_public && integration.auth.is_signed() {
        return Ok(None);
    }
    let (path, version) = match &integration.key {
        KeyUse::None => return Ok(None),
        KeyUse::Revoked => return Err(Reason::KeyRevoked),
        KeyUse::Missing => return Err(Reason::KeyUnavailable),
        KeyUse::Version { expires_at, .. } if expires_at.is_some_and(|at| at <= lane::timestamp()) => {
            return Err(Reason::KeyExpired);
        }
        KeyUse::Version { path, version, .. } => (path, *version),
    };
    let now = lane::now().into_std();
    if let Some(held) = integration.slot.0.load().as_ref().filter(|held| now < held.until) {
        return Ok(Some(held.ready.clone()));
    }
    Box::pin(fetched(gateway, integration, path, version, left_ms)).await.map(Some)
}

/// The key as the key store has it now.
async fn fetched(
    gateway: &Gateway,
    integration: &Integration,
    path: &vault::Path,
    version: u32,
    left_ms: u64,
) -> Result<Arc<Ready>, Reason> {
    let (slot, now) = (&integration.slot.0, Instant::now());
    let wait = Duration::from_millis(left_ms.min(WAIT_MS));
    let fields = match tokio::time::timeout(wait, gateway.keys.fields(path, version)).await {
        Ok(Ok(fields)) => fields,
        Ok(Err(error)) => {
            tracing::warn!(integration.id = %integration.id, %error, "No key for integration {}: {error}.", integration.id);
            return Err(Reason::KeyUnavailable);
        }
        Err(_) => return Err(Reason::KeyUnavailable),
    };
    let before = slot.load_full().filter(|held| Arc::ptr_eq(&held.fields, &fields));
    let ready = match before {
        Some(held) => held.ready.clone(),
        None => match Ready::new(integration, &fields) {
            Ok(ready) => Arc::new(ready),
            Err(error) => {
                tracing::warn!(integration.id = %integration.id, %error, "The key of integration {} cannot be used: {error}.", integration.id);
                return Err(Reason::KeyUnavailable);
            }
        },
    };
    let until = now + FRESH.min(Duration::from_secs(gateway.settings.key_stale_secs));
    slot.store(Some(Arc::new(Held { fields, ready: ready.clone(), until })));
    Ok(ready)
}
