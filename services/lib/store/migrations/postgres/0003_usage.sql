-- What passed, rolled up by minute, hour and day (step 0, 1, 2; UTC) for each facet of it: all (0), endpoint (1),
-- caller (2), model (3), route (4). A row's latencies are a sketch that adds up; its reasons are JSON, empty when nothing
-- was wrong. Before there were endpoint and caller in one row, no latencies, and months, which are sums of days.
CREATE TABLE usage_rollups (
    integration        TEXT COLLATE "C" NOT NULL,
    facet              BIGINT NOT NULL,
    step               BIGINT NOT NULL,
    start_at           BIGINT NOT NULL,
    name               TEXT COLLATE "C" NOT NULL,
    requests           BIGINT NOT NULL,
    errors             BIGINT NOT NULL,
    cache_hits         BIGINT NOT NULL,
    request_bytes      BIGINT NOT NULL,
    response_bytes     BIGINT NOT NULL,
    latency_sum_ms     BIGINT NOT NULL,
    cost_micros        BIGINT NOT NULL,
    input_tokens       BIGINT NOT NULL,
    cached_tokens      BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens      BIGINT NOT NULL,
    unpriced_answers   BIGINT NOT NULL,
    latency            BYTEA NOT NULL,
    reasons            TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (integration, facet, step, start_at, name)
);

INSERT INTO usage_rollups
SELECT integration, facet, CASE step WHEN 'minute' THEN 0 WHEN 'hour' THEN 1 ELSE 2 END, start_at,
    CASE facet WHEN 1 THEN endpoint WHEN 2 THEN actor ELSE '' END,
    SUM(requests), SUM(errors), SUM(cache_hits), SUM(request_bytes), SUM(response_bytes), SUM(latency_sum_ms),
    SUM(cost_micros), 0, 0, 0, 0, 0, ''::bytea, ''
FROM usage_counts CROSS JOIN (VALUES (0), (1), (2)) AS facets (facet)
WHERE step <> 'month'
GROUP BY 1, 2, 3, 4, 5;
DROP TABLE usage_counts;

-- Usage events that were counted: the hour in which they begin, and 64 bits of their ids. Those of before stay in the inbox.
CREATE TABLE usage_seen (
    hour BIGINT NOT NULL,
    id   BIGINT NOT NULL,
    PRIMARY KEY (hour, id)
);
