-- What alarms were fed, by integration and 5 minutes: the same in the same order makes the same alarms after a restart.
-- p95_ms is -1 where nothing answered. aside: 0 judged; 1 not judged at all; 2 its volume is not judged.
CREATE TABLE watched_buckets (
    integration TEXT COLLATE "C" NOT NULL,
    start_at    BIGINT NOT NULL,
    requests    BIGINT NOT NULL,
    errors      BIGINT NOT NULL,
    p95_ms      BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    aside       BIGINT NOT NULL,
    PRIMARY KEY (integration, start_at)
);
CREATE INDEX watched_age ON watched_buckets (start_at);
