-- What alert rules found: of each rule and what it looks at, whether it waits or fires. What is fine has no row.
CREATE TABLE rule_states (
    rule       TEXT NOT NULL,
    target     TEXT NOT NULL,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (rule, target)
) STRICT;
