-- Usage that was counted and is not in its roll-ups yet: the sums of one transaction each, in a form of the program's own.
CREATE TABLE usage_tallies (
    id   INTEGER PRIMARY KEY,
    sums BLOB NOT NULL
) STRICT;
