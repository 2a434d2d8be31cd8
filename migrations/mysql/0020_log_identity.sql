-- Which database this is: random digits that the first program after this migration writes, once. A restored copy keeps them; retained
-- messages on brokers carry them, so that the log of another database is not taken for a later state of this one.
CREATE TABLE log_identity (
    one SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
    id VARBINARY(32) NOT NULL
);
