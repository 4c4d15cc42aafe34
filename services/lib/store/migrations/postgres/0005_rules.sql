-- What alert rules found: of each rule and what it looks at, whether it waits or fires. What is fine has no row.
CREATE TABLE rule_states (
    rule       TEXT COLLATE "C" NOT NULL,
    target     TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (rule, target)
);
