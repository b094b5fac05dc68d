-- The service as it was before Tandem: its rows, and an outbox that a poller empties.
CREATE TABLE accounts (
    id       text   PRIMARY KEY,
    cents    bigint NOT NULL DEFAULT 0,
    bookings bigint NOT NULL DEFAULT 0 -- how many, so each booking has its number
);
CREATE TABLE bookings (
    id      uuid   PRIMARY KEY DEFAULT gen_random_uuid(),
    account text   NOT NULL,
    number  bigint NOT NULL,
    cents   bigint NOT NULL
);
CREATE TABLE outbox (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      uuid   NOT NULL,
    topic   text   NOT NULL,
    key     text   NOT NULL,
    type    text   NOT NULL,
    payload jsonb  NOT NULL
);
INSERT INTO accounts (id) SELECT 'account-' || n FROM generate_series(1, 12) AS n;

-- Another service's table, for what the events lead to. Nothing here would refuse
-- a booking that is applied twice, or too early: the audit is to find it.
CREATE TABLE ledger (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      text   NOT NULL,
    account text   NOT NULL,
    number  bigint NOT NULL,
    cents   bigint NOT NULL
);
