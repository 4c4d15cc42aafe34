-- What passed, rolled up by minute, hour and day (step 0, 1, 2; UTC) for each facet of it: all (0), endpoint (1),
-- caller (2), model (3), route (4). A row's latencies are a sketch that adds up; its reasons are JSON, empty when nothing
-- was wrong. Before there were endpoint and caller in one row, no latencies, and months, which are sums of days.
CREATE TABLE usage_rollups (
    integration        TEXT NOT NULL,
    facet              INTEGER NOT NULL,
    step               INTEGER NOT NULL,
    start_at           INTEGER NOT NULL,
    name               TEXT NOT NULL,
    requests           INTEGER NOT NULL,
    errors             INTEGER NOT NULL,
    cache_hits         INTEGER NOT NULL,
    request_bytes      INTEGER NOT NULL,
    response_bytes     INTEGER NOT NULL,
    latency_sum_ms     INTEGER NOT NULL,
    cost_micros        INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    unpriced_answers   INTEGER NOT NULL,
    latency            BLOB NOT NULL,
    reasons            TEXT NOT NULL,
    PRIMARY KEY (integration, facet, step, start_at, name)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_rollups
SELECT integration, facet, CASE step WHEN 'minute' THEN 0 WHEN 'hour' THEN 1 ELSE 2 END, start_at,
    CASE facet WHEN 1 THEN endpoint WHEN 2 THEN actor ELSE '' END,
    SUM(requests), SUM(errors), SUM(cache_hits), SUM(request_bytes), SUM(response_bytes), SUM(latency_sum_ms),
    SUM(cost_micros), 0, 0, 0, 0, 0, x'', ''
FROM usage_counts JOIN (SELECT 0 AS facet UNION ALL SELECT 1 UNION ALL SELECT 2) AS facets
WHERE step <> 'month'
GROUP BY 1, 2, 3, 4, 5;
DROP TABLE usage_counts;

-- Usage events that were counted: the hour in which they begin, and 64 bits of their ids. Those of before stay in the inbox.
CREATE TABLE usage_seen (
    hour INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    PRIMARY KEY (hour, id)
) STRICT, WITHOUT ROWID;
