-- What integrations were. Marks say which messages of the stream HEALTH were taken: a bit each, by the stream's birth and
-- the message's number, so that one that comes again counts once and costs nothing to remember.
CREATE TABLE health_marks (
    era   BIGINT NOT NULL,
    block BIGINT NOT NULL,
    bits  BYTEA NOT NULL,
    at    BIGINT NOT NULL,
    PRIMARY KEY (era, block)
);
CREATE INDEX health_marks_at ON health_marks (at);

-- Every change of health, in the order in which they were decided (era, sequence).
CREATE TABLE health_changes (
    integration TEXT COLLATE "C" NOT NULL,
    era         BIGINT NOT NULL,
    sequence    BIGINT NOT NULL,
    event_id    TEXT COLLATE "C" NOT NULL UNIQUE,
    was         TEXT COLLATE "C" NOT NULL,
    became      TEXT COLLATE "C" NOT NULL,
    reason      TEXT COLLATE "C",
    since       BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (integration, era, sequence)
);
CREATE INDEX health_changes_at ON health_changes (at);

-- What was observed, counted by 5 minutes, hour and day (UTC), with a sketch of the latencies.
CREATE TABLE health_counts (
    integration  TEXT COLLATE "C" NOT NULL,
    slot         TEXT COLLATE "C" NOT NULL,
    start_at     BIGINT NOT NULL,
    source       TEXT COLLATE "C" NOT NULL,
    observations BIGINT NOT NULL,
    requests     BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    last_at      BIGINT NOT NULL,
    every_secs   BIGINT NOT NULL,
    latency      BYTEA NOT NULL,
    PRIMARY KEY (integration, slot, start_at, source)
);
CREATE INDEX health_counts_age ON health_counts (slot, start_at);
