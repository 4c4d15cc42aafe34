-- The first schema. Times are milliseconds since 1970, flags are 0 or 1, JSON is text.

-- What people decided: documents of a kind, under one revision.
CREATE TABLE meta (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO meta (id, revision) VALUES (1, 0);

CREATE TABLE documents (
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    body       TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

-- Events that are to be published, and the consumers that have taken one.
CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id     TEXT NOT NULL UNIQUE,
    source       TEXT NOT NULL,
    event_type   TEXT NOT NULL,
    subject      TEXT NOT NULL,
    correlation  TEXT,
    event_time   INTEGER NOT NULL,
    body         BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    published_at INTEGER,
    unaudited    INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_unaudited ON outbox (created_at) WHERE unaudited = 1;

CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    done_at  INTEGER NOT NULL,
    PRIMARY KEY (consumer, event_id)
) STRICT;
CREATE INDEX inbox_done ON inbox (done_at);

-- Who did what. `leaf` holds the exact bytes that `hash` is made of; the other columns are for looking up.
CREATE TABLE audit_head (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
INSERT INTO audit_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    target   TEXT NOT NULL,
    verb     TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    leaf     BLOB NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
CREATE INDEX audit_actor ON audit (actor, sequence);
CREATE INDEX audit_action ON audit (action, sequence);
CREATE INDEX audit_target ON audit (target, sequence);
CREATE INDEX audit_at ON audit (at);

-- Alerts: one open row a fingerprint.
CREATE TABLE alerts (
    alert           TEXT PRIMARY KEY,
    latest          TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    severity        TEXT NOT NULL,
    source          TEXT NOT NULL,
    alert_type      TEXT NOT NULL,
    persona         TEXT,
    phase           TEXT NOT NULL,
    raised          TEXT NOT NULL,
    last_event      TEXT NOT NULL,
    raised_at       INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at INTEGER,
    note            TEXT,
    resolved_by     TEXT,
    resolved_at     INTEGER,
    times           INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (fingerprint) WHERE phase <> 'resolved';
CREATE INDEX alerts_latest ON alerts (latest);
CREATE INDEX alerts_raised ON alerts (raised_at, alert);
CREATE INDEX alerts_phase ON alerts (phase, raised_at, alert);

-- One alert to one webhook, its tries, and who works on a webhook.
CREATE TABLE deliveries (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    webhook     TEXT NOT NULL,
    event       TEXT NOT NULL,
    phase       TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    title       TEXT NOT NULL,
    state       TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER,
    ended_at    INTEGER,
    failure     TEXT,
    replay_of   TEXT,
    alert       TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_lane ON deliveries (webhook, seq) WHERE state = 'pending';
CREATE INDEX deliveries_created ON deliveries (created_at, id);
CREATE INDEX deliveries_webhook ON deliveries (webhook, created_at, id);
CREATE INDEX deliveries_state ON deliveries (state, created_at, id);
CREATE INDEX deliveries_ended ON deliveries (webhook, state, ended_at);
CREATE INDEX deliveries_age ON deliveries (ended_at) WHERE state <> 'pending';

CREATE TABLE attempts (
    delivery    TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    webhook     TEXT NOT NULL,
    at          INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    status_code INTEGER,
    duration_ms INTEGER NOT NULL,
    detail      TEXT,
    PRIMARY KEY (delivery, attempt)
) STRICT;
CREATE INDEX attempts_sent ON attempts (webhook, at) WHERE outcome = 'delivered';

CREATE TABLE lanes (
    webhook      TEXT PRIMARY KEY,
    holder       TEXT,
    held_until   INTEGER,
    paused_until INTEGER
) STRICT;

-- What passed, counted by minute, hour, day and month (UTC).
CREATE TABLE usage_counts (
    integration    TEXT NOT NULL,
    step           TEXT NOT NULL,
    start_at       INTEGER NOT NULL,
    endpoint       TEXT NOT NULL,
    actor          TEXT NOT NULL,
    requests       INTEGER NOT NULL,
    errors         INTEGER NOT NULL,
    cache_hits     INTEGER NOT NULL,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    latency_sum_ms INTEGER NOT NULL,
    cost_micros    INTEGER NOT NULL,
    PRIMARY KEY (integration, step, start_at, endpoint, actor)
) STRICT;
CREATE INDEX usage_age ON usage_counts (step, start_at);

-- What was said once and must not be said again.
CREATE TABLE notices (
    key TEXT PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_at ON notices (at);

-- The shelf of the sealed key store: envelopes that only its master key opens.
CREATE TABLE sealed (
    path    TEXT NOT NULL,
    version INTEGER NOT NULL,
    bytes   BLOB NOT NULL,
    PRIMARY KEY (path, version)
) STRICT;

-- Answers to requests with an Idempotency-Key. No status: the request still runs.
CREATE TABLE answered (
    key          TEXT NOT NULL,
    actor        TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status       INTEGER,
    body         TEXT,
    begun_at     INTEGER NOT NULL,
    PRIMARY KEY (key, actor)
) STRICT;
CREATE INDEX answered_begun ON answered (begun_at);

-- People at the console. Only hashes of what their browsers hold.
CREATE TABLE sessions (
    hash             TEXT PRIMARY KEY,
    person           TEXT NOT NULL,
    csrf_hash        TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_expires ON sessions (expires_at);
