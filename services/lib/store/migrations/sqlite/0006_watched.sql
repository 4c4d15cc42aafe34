-- What alarms were fed, by integration and 5 minutes: the same in the same order makes the same alarms after a restart.
-- p95_ms is -1 where nothing answered. aside: 0 judged; 1 not judged at all; 2 its volume is not judged.
CREATE TABLE watched_buckets (
    integration TEXT NOT NULL,
    start_at    INTEGER NOT NULL,
    requests    INTEGER NOT NULL,
    errors      INTEGER NOT NULL,
    p95_ms      INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    aside       INTEGER NOT NULL,
    PRIMARY KEY (integration, start_at)
) STRICT;
CREATE INDEX watched_age ON watched_buckets (start_at);
