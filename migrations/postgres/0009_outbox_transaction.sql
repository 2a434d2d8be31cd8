-- Which transaction wrote an outbox row: a look at the outbox then leaves out what earlier looks have had.

-- Producers do not name the column. Rows that are there already get no number of their own: no look has left them out yet.
ALTER TABLE outbox ADD COLUMN txid BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ALTER COLUMN txid SET DEFAULT txid_current();
CREATE INDEX outbox_txid ON outbox (txid);
