-- Usage that was counted and is not in its roll-ups yet: the sums of one transaction each, in a form of the program's own.
CREATE TABLE usage_tallies (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sums BYTEA NOT NULL
);
