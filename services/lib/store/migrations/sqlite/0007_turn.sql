-- How often roll-ups of usage were written. Whoever wrote them last and finds this unchanged knows what is in them.
CREATE TABLE usage_turn (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    turn INTEGER NOT NULL
) STRICT;
INSERT INTO usage_turn (id, turn) VALUES (1, 0);
