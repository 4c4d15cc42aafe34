//! Alerts: one open row a fingerprint, from raised to resolved.
//!
//! An alert is written by the api's commit, by the event that tells of it, or by both: whichever comes second finds the
//! event's row in the inbox and changes nothing. An alert that is raised again under another id while its fingerprint
//! is open becomes part of the open row, which also answers to the newer id.

use model::alert::{AlertRaised, Phase, Severity};
use model::event::TYPE_PREFIX;
use model::{AlertId, Envelope, EventId, Timestamp};

use crate::db::{Row, Statement, Tx, values};
use crate::inbox::{self, Consumer};
use crate::{Error, Result, Store};

/// Alerts in one page at most.
const PAGE_MAX: u32 = 1_000;
/// How often a raised alert looks for its row, when others raise the same one at the same time.
const RAISE_TRIES: usize = 3;
/// Everything that an [`AlertRow`] is made of.
macro_rules! select_alert {
    ($rest:literal) => {
        concat!(
            "SELECT alert, raised, phase, last_event, raised_at, updated_at, acknowledged_by, acknowledged_at, ",
            "resolved_by, resolved_at, note, times FROM alerts",
            $rest
        )
    };
}

/// An alert as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// As it was last raised; its id is the row's.
    pub raised: AlertRaised,
    /// Where it is in its life.
    pub phase: Phase,
    /// The event that last changed it.
    pub last_event: EventId,
    /// When it was first raised.
    pub raised_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Who takes care.
    pub acknowledged_by: Option<String>,
    /// Since when.
    pub acknowledged_at: Option<Timestamp>,
    /// Who or what resolved it.
    pub resolved_by: Option<String>,
    /// When.
    pub resolved_at: Option<Timestamp>,
    /// What was said when it was acknowledged.
    pub note: Option<String>,
    /// How often it was raised.
    pub count: u64,
}

/// What happens to an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertWrite {
    /// It is raised, or raised again.
    Raise(AlertRaised),
    /// Somebody takes care.
    Acknowledge {
        /// Which alert.
        alert: AlertId,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
        /// What they said.
        note: Option<String>,
    },
    /// It is over.
    Resolve {
        /// Which alert.
        alert: AlertId,
        /// Who or what says so.
        by: String,
        /// When.
        at: Timestamp,
    },
}

/// Which alerts. Absent fields let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those in this phase.
    pub phase: Option<Phase>,
    /// Only those of this severity.
    pub severity: Option<Severity>,
    /// Only those about or from this source.
    pub source: Option<String>,
    /// Only those of this type.
    pub alert_type: Option<String>,
    /// Only those of this agent or person.
    pub persona: Option<String>,
}

impl AlertWrite {
    fn alert(&self) -> &AlertId {
        match self {
            Self::Raise(raised) => &raised.alert,
            Self::Acknowledge { alert, .. } | Self::Resolve { alert, .. } => alert,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Raise(_) => "alert.raised.v1",
            Self::Acknowledge { .. } => "alert.acknowledged.v1",
            Self::Resolve { .. } => "alert.resolved.v1",
        }
    }

    /// The event among `events` that tells of this.
    fn told_by<'e>(&self, events: &'e [Envelope<Vec<u8>>]) -> Option<&'e EventId> {
        #[derive(serde::Deserialize)]
        struct Which {
            alert: AlertId,
        }
        let tells = |event: &&Envelope<Vec<u8>>| {
            event.kind.strip_prefix(TYPE_PREFIX) == Some(self.kind())
                && serde_json::from_slice::<Which>(&event.data).is_ok_and(|fact| fact.alert == *self.alert())
        };
        events.iter().find(tells).map(|event| &event.id)
    }
}

/// Writes an alert together with the event that tells of it. [`Error::Missing`] when there is no such alert to
/// acknowledge or resolve, or no event that tells of it.
pub(crate) async fn write_in_commit(
    tx: &mut Tx,
    write: &AlertWrite,
    events: &[Envelope<Vec<u8>>],
    at: Timestamp,
) -> Result<()> {
    let event =
        write.told_by(events).ok_or_else(|| Error::missing("event of alert", write.alert().as_str()))?;
    if inbox::take(tx, Consumer::Alerts, &[event], at).await?.is_empty() {
        return Ok(());
    }
    if apply(tx, event, write, at).await? {
        Ok(())
    } else {
        Err(Error::missing("alert", write.alert().as_str()))
    }
}

/// Writes what an event says of an alert, unless the commit that made the event did. An alert that is not known (it was
/// raised before this database began) stays unknown.
pub(crate) async fn write_of_event(
    tx: &mut Tx,
    event: &EventId,
    write: &AlertWrite,
    at: Timestamp,
) -> Result<()> {
    if !inbox::take(tx, Consumer::Alerts, &[event], at).await?.is_empty() {
        apply(tx, event, write, at).await?;
    }
    Ok(())
}

/// False when there is no such alert.
async fn apply(tx: &mut Tx, event: &EventId, write: &AlertWrite, now: Timestamp) -> Result<bool> {
    let touched = match write {
        AlertWrite::Raise(raised) => return raise(tx, event, raised, now).await.map(|()| true),
        AlertWrite::Acknowledge { alert, by, at, note } => {
            tx.execute(
                "UPDATE alerts SET
                   phase = CASE phase WHEN 'raised' THEN 'acknowledged' ELSE phase END,
                   acknowledged_by = $2, acknowledged_at = $3, note = $4, last_event = $5, updated_at = $6
                 WHERE alert = $1 OR latest = $1",
                &values![alert, by, *at, note.as_deref(), event, now],
            )
            .await?
        }
        AlertWrite::Resolve { alert, by, at } => {
            tx.execute(
                "UPDATE alerts SET phase = 'resolved', resolved_by = $2, resolved_at = $3, last_event = $4,
                   updated_at = $5
                 WHERE alert = $1 OR latest = $1",
                &values![alert, by, *at, event, now],
            )
            .await?
        }
    };
    Ok(touched > 0)
}

/// Finds the row that a raised alert belongs to and counts it there, or makes one.
async fn raise(tx: &mut Tx, event: &EventId, raised: &AlertRaised, now: Timestamp) -> Result<()> {
    for _ in 0..RAISE_TRIES {
        let known = tx
            .optional(
                "SELECT alert, phase, resolved_at FROM alerts
                 WHERE (fingerprint = $1 AND phase <> 'resolved') OR alert = $2
                 ORDER BY CASE WHEN phase <> 'resolved' AND fingerprint = $1 THEN 0 ELSE 1 END LIMIT 1",
                &values![&raised.fingerprint, &raised.alert],
            )
            .await?;
        let touched = match known {
            Some(row) => raise_again(tx, &row, event, raised, now).await?,
            None => raise_first(tx, event, raised, now).await?,
        };
        if touched == 1 {
            return Ok(());
        }
    }
    Err(Error::Conflict { source: "another one raised the same alert".into() })
}

async fn raise_first(tx: &mut Tx, event: &EventId, raised: &AlertRaised, now: Timestamp) -> Result<u64> {
    tx.execute(
        "INSERT INTO alerts (alert, latest, fingerprint, severity, source, alert_type, persona, phase, raised,
                             last_event, raised_at, updated_at, times)
         VALUES ($1, $1, $2, $3, $4, $5, $6, 'raised', $7, $8, $9, $10, 1) ON CONFLICT DO NOTHING",
        &values![
            &raised.alert,
            &raised.fingerprint,
            raised.severity.as_str(),
            raised.source.as_str(),
            &raised.alert_type,
            raised.persona.as_deref(),
            json(raised)?,
            event,
            raised.at,
            now
        ],
    )
    .await
}

/// Counts in an open row. A resolved row of the same id opens again, unless the news is older than its end.
async fn raise_again(
    tx: &mut Tx,
    known: &Row,
    event: &EventId,
    raised: &AlertRaised,
    now: Timestamp,
) -> Result<u64> {
    let row: AlertId = known.word("alert")?;
    if known.opt_time("resolved_at")?.is_some_and(|over| known.is("phase", "resolved") && raised.at <= over) {
        return Ok(1);
    }
    let kept = AlertRaised { alert: row.clone(), ..raised.clone() };
    tx.execute(
        "UPDATE alerts SET
           latest = $2, severity = $3, source = $4, alert_type = $5, persona = $6, raised = $7, last_event = $8,
           updated_at = $9, times = times + 1, resolved_by = NULL, resolved_at = NULL,
           phase = CASE phase WHEN 'resolved' THEN 'raised' ELSE phase END,
           acknowledged_by = CASE phase WHEN 'resolved' THEN NULL ELSE acknowledged_by END,
           acknowledged_at = CASE phase WHEN 'resolved' THEN NULL ELSE acknowledged_at END,
           note = CASE phase WHEN 'resolved' THEN NULL ELSE note END
         WHERE alert = $1",
        &values![
            &row,
            &raised.alert,
            raised.severity.as_str(),
            raised.source.as_str(),
            &raised.alert_type,
            raised.persona.as_deref(),
            json(&kept)?,
            event,
            now
        ],
    )
    .await
}

impl Store {
    /// One alert, by the id of its row or the id under which it was last raised.
    pub async fn alert(&self, id: &AlertId) -> Result<Option<AlertRow>> {
        self.db()
            .optional(
                select_alert!(" WHERE alert = $1 OR latest = $1 ORDER BY raised_at DESC LIMIT 1"),
                &values![id],
            )
            .await?
            .as_ref()
            .map(alert)
            .transpose()
    }

    /// The alert with this fingerprint that is not over.
    pub async fn open_alert(&self, fingerprint: &str) -> Result<Option<AlertRow>> {
        self.db()
            .optional(select_alert!(" WHERE fingerprint = $1 AND phase <> 'resolved'"), &values![fingerprint])
            .await?
            .as_ref()
            .map(alert)
            .transpose()
    }

    /// Alerts, the last raised first, before the given one. At most `limit` and at most 1,000.
    pub async fn alerts_page(
        &self,
        filter: &AlertFilter,
        before: Option<(Timestamp, AlertId)>,
        limit: u32,
    ) -> Result<Vec<AlertRow>> {
        let mut select = Statement::new(select_alert!(""));
        select
            .filter_some("phase = ", filter.phase.map(Phase::as_str))
            .filter_some("severity = ", filter.severity.map(Severity::as_str))
            .filter_some("source = ", filter.source.as_deref())
            .filter_some("alert_type = ", filter.alert_type.as_deref())
            .filter_some("persona = ", filter.persona.as_deref());
        if let Some((at, id)) = before {
            select.and().push("(raised_at, alert) < ").bind_all(values![at, &id]);
        }
        select.push(" ORDER BY raised_at DESC, alert DESC LIMIT ").bind(limit.min(PAGE_MAX));
        self.db().select(select).await?.iter().map(alert).collect()
    }
}

fn json(raised: &AlertRaised) -> Result<String> {
    serde_json::to_string(raised).map_err(|error| Error::corrupt("an alert", error))
}

fn alert(row: &Row) -> Result<AlertRow> {
    Ok(AlertRow {
        raised: row.json("raised")?,
        phase: row.word("phase")?,
        last_event: row.word("last_event")?,
        raised_at: row.time("raised_at")?,
        updated_at: row.time("updated_at")?,
        acknowledged_by: row.opt_text("acknowledged_by")?,
        acknowledged_at: row.opt_time("acknowledged_at")?,
        resolved_by: row.opt_text("resolved_by")?,
        resolved_at: row.opt_time("resolved_at")?,
        note: row.opt_text("note")?,
        count: row.count("times")?,
    })
}
