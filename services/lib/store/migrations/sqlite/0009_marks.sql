-- Usage events that were counted: the second in which they begin (since 1970), and 51 bits of the id of each, 8 bytes, the
-- highest first. One row a second instead of one an event, which is most of what it cost to count one.
CREATE TABLE usage_marks (
    second INTEGER PRIMARY KEY,
    ids    BLOB NOT NULL
) STRICT;
INSERT INTO usage_marks
SELECT hour * 3600 + (id >> 51), unhex(group_concat(printf('%016x', id & 2251799813685247), ''))
FROM usage_seen
GROUP BY 1;
DROP TABLE usage_seen;
