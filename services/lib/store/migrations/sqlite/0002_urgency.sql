-- What matters overtakes: each delivery knows how urgent it is (0 is critical), and each lane how many attempts in a
-- row passed the oldest delivery that waits.
ALTER TABLE deliveries ADD COLUMN urgency INTEGER NOT NULL DEFAULT 3;
UPDATE deliveries SET urgency = CASE json_extract(alert, '$.severity')
    WHEN 'critical' THEN 0 WHEN 'error' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END
WHERE state = 'pending';
ALTER TABLE lanes ADD COLUMN overtaken INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_urgent ON deliveries (webhook, urgency, seq) WHERE state = 'pending';
CREATE INDEX deliveries_line ON deliveries (webhook, fingerprint, seq) WHERE state = 'pending';
