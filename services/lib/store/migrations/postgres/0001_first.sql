-- The first schema. Times are milliseconds since 1970, flags are 0 or 1, JSON is text. Texts are compared by their
-- bytes (collation C), as SQLite does.

-- What people decided: documents of a kind, under one revision.
CREATE TABLE meta (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO meta (id, revision) VALUES (1, 0);

CREATE TABLE documents (
    kind       TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    revision   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);

-- Events that are to be published, and the consumers that have taken one.
CREATE TABLE outbox (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     TEXT COLLATE "C" NOT NULL UNIQUE,
    source       TEXT COLLATE "C" NOT NULL,
    event_type   TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    correlation  TEXT COLLATE "C",
    event_time   BIGINT NOT NULL,
    body         BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    published_at BIGINT,
    unaudited    BIGINT NOT NULL
);
CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_unaudited ON outbox (created_at) WHERE unaudited = 1;

CREATE TABLE inbox (
    consumer TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    done_at  BIGINT NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_done ON inbox (done_at);

-- Who did what. `leaf` holds the exact bytes that `hash` is made of; the other columns are for looking up.
CREATE TABLE audit_head (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash     TEXT COLLATE "C" NOT NULL
);
INSERT INTO audit_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL UNIQUE,
    at       BIGINT NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    action   TEXT COLLATE "C" NOT NULL,
    target   TEXT COLLATE "C" NOT NULL,
    verb     TEXT COLLATE "C" NOT NULL,
    outcome  TEXT COLLATE "C" NOT NULL,
    leaf     BYTEA NOT NULL,
    hash     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, sequence);
CREATE INDEX audit_action ON audit (action, sequence);
CREATE INDEX audit_target ON audit (target, sequence);
CREATE INDEX audit_at ON audit (at);

-- Alerts: one open row a fingerprint.
CREATE TABLE alerts (
    alert           TEXT COLLATE "C" PRIMARY KEY,
    latest          TEXT COLLATE "C" NOT NULL,
    fingerprint     TEXT COLLATE "C" NOT NULL,
    severity        TEXT COLLATE "C" NOT NULL,
    source          TEXT COLLATE "C" NOT NULL,
    alert_type      TEXT COLLATE "C" NOT NULL,
    persona         TEXT COLLATE "C",
    phase           TEXT COLLATE "C" NOT NULL,
    raised          TEXT COLLATE "C" NOT NULL,
    last_event      TEXT COLLATE "C" NOT NULL,
    raised_at       BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    acknowledged_by TEXT COLLATE "C",
    acknowledged_at BIGINT,
    note            TEXT COLLATE "C",
    resolved_by     TEXT COLLATE "C",
    resolved_at     BIGINT,
    times           BIGINT NOT NULL
);
CREATE UNIQUE INDEX alerts_open ON alerts (fingerprint) WHERE phase <> 'resolved';
CREATE INDEX alerts_latest ON alerts (latest);
CREATE INDEX alerts_raised ON alerts (raised_at, alert);
CREATE INDEX alerts_phase ON alerts (phase, raised_at, alert);

-- One alert to one webhook, its tries, and who works on a webhook.
CREATE TABLE deliveries (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          TEXT COLLATE "C" NOT NULL UNIQUE,
    webhook     TEXT COLLATE "C" NOT NULL,
    event       TEXT COLLATE "C" NOT NULL,
    phase       TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    title       TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    attempts    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    due_at      BIGINT,
    ended_at    BIGINT,
    failure     TEXT COLLATE "C",
    replay_of   TEXT COLLATE "C",
    alert       TEXT COLLATE "C" NOT NULL
);
CREATE INDEX deliveries_lane ON deliveries (webhook, seq) WHERE state = 'pending';
CREATE INDEX deliveries_created ON deliveries (created_at, id);
CREATE INDEX deliveries_webhook ON deliveries (webhook, created_at, id);
CREATE INDEX deliveries_state ON deliveries (state, created_at, id);
CREATE INDEX deliveries_ended ON deliveries (webhook, state, ended_at);
CREATE INDEX deliveries_age ON deliveries (ended_at) WHERE state <> 'pending';

CREATE TABLE attempts (
    delivery    TEXT COLLATE "C" NOT NULL,
    attempt     BIGINT NOT NULL,
    webhook     TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL,
    status_code BIGINT,
    duration_ms BIGINT NOT NULL,
    detail      TEXT COLLATE "C",
    PRIMARY KEY (delivery, attempt)
);
CREATE INDEX attempts_sent ON attempts (webhook, at) WHERE outcome = 'delivered';

CREATE TABLE lanes (
    webhook      TEXT COLLATE "C" PRIMARY KEY,
    holder       TEXT COLLATE "C",
    held_until   BIGINT,
    paused_until BIGINT
);

-- What passed, counted by minute, hour, day and month (UTC).
CREATE TABLE usage_counts (
    integration    TEXT COLLATE "C" NOT NULL,
    step           TEXT COLLATE "C" NOT NULL,
    start_at       BIGINT NOT NULL,
    endpoint       TEXT COLLATE "C" NOT NULL,
    actor          TEXT COLLATE "C" NOT NULL,
    requests       BIGINT NOT NULL,
    errors         BIGINT NOT NULL,
    cache_hits     BIGINT NOT NULL,
    request_bytes  BIGINT NOT NULL,
    response_bytes BIGINT NOT NULL,
    latency_sum_ms BIGINT NOT NULL,
    cost_micros    BIGINT NOT NULL,
    PRIMARY KEY (integration, step, start_at, endpoint, actor)
);
CREATE INDEX usage_age ON usage_counts (step, start_at);

-- What was said once and must not be said again.
CREATE TABLE notices (
    key TEXT COLLATE "C" PRIMARY KEY,
    at  BIGINT NOT NULL
);
CREATE INDEX notices_at ON notices (at);

-- The shelf of the sealed key store: envelopes that only its master key opens.
CREATE TABLE sealed (
    path    TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    bytes   BYTEA NOT NULL,
    PRIMARY KEY (path, version)
);

-- Answers to requests with an Idempotency-Key. No status: the request still runs.
CREATE TABLE answered (
    key          TEXT COLLATE "C" NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    request_hash TEXT COLLATE "C" NOT NULL,
    status       BIGINT,
    body         TEXT COLLATE "C",
    begun_at     BIGINT NOT NULL,
    PRIMARY KEY (key, actor)
);
CREATE INDEX answered_begun ON answered (begun_at);

-- People at the console. Only hashes of what their browsers hold.
CREATE TABLE sessions (
    hash             TEXT COLLATE "C" PRIMARY KEY,
    person           TEXT COLLATE "C" NOT NULL,
    csrf_hash        TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL
);
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_expires ON sessions (expires_at);
