-- What integrations were. Marks say which messages of the stream HEALTH were taken: a bit each, by the stream's birth and
-- the message's number, so that one that comes again counts once and costs nothing to remember.
CREATE TABLE health_marks (
    era   INTEGER NOT NULL,
    block INTEGER NOT NULL,
    bits  BLOB NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (era, block)
) STRICT;
CREATE INDEX health_marks_at ON health_marks (at);

-- Every change of health, in the order in which they were decided (era, sequence).
CREATE TABLE health_changes (
    integration TEXT NOT NULL,
    era         INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    event_id    TEXT NOT NULL UNIQUE,
    was         TEXT NOT NULL,
    became      TEXT NOT NULL,
    reason      TEXT,
    since       INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (integration, era, sequence)
) STRICT;
CREATE INDEX health_changes_at ON health_changes (at);

-- What was observed, counted by 5 minutes, hour and day (UTC), with a sketch of the latencies.
CREATE TABLE health_counts (
    integration  TEXT NOT NULL,
    slot         TEXT NOT NULL,
    start_at     INTEGER NOT NULL,
    source       TEXT NOT NULL,
    observations INTEGER NOT NULL,
    requests     INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    every_secs   INTEGER NOT NULL,
    latency      BLOB NOT NULL,
    PRIMARY KEY (integration, slot, start_at, source)
) STRICT;
CREATE INDEX health_counts_age ON health_counts (slot, start_at);
