-- Limited to the SQL that SQLite and PostgreSQL share. Numbers are assigned by the one writer, not by the database.

CREATE TABLE migration (
    id BIGINT PRIMARY KEY,
    spec TEXT NOT NULL,
    route TEXT NOT NULL,
    began_at_ms BIGINT NOT NULL,
    asked_by TEXT NOT NULL,
    target_uri TEXT NOT NULL,
    idempotency_key TEXT UNIQUE,
    ended_at_ms BIGINT,
    outcome TEXT,
    trouble TEXT
);

CREATE TABLE record (
    number BIGINT PRIMARY KEY,
    migration BIGINT NOT NULL REFERENCES migration (id),
    line TEXT NOT NULL
);

CREATE INDEX record_of_migration ON record (migration, number);

CREATE TABLE event (
    number BIGINT NOT NULL REFERENCES record (number),
    place BIGINT NOT NULL,
    migration BIGINT NOT NULL REFERENCES migration (id),
    at_ns BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (number, place)
);

CREATE INDEX event_of_migration ON event (migration, number, place);

CREATE TABLE audit (
    number BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    caller TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status BIGINT NOT NULL
);
