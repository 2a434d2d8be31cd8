-- Which transaction wrote an outbox row: a look at the outbox then leaves out what earlier looks have had.

-- Producers do not name the column, and whatever they name it is the truth. Rows that are there already get no number of their own: no
-- look has left them out yet.
ALTER TABLE outbox ADD COLUMN txid BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ALTER COLUMN txid SET DEFAULT txid_current();

-- A row that somebody mends while it waits is a new one to the looks.
CREATE FUNCTION outbox_written() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.txid := txid_current(); RETURN NEW; END $$;
CREATE TRIGGER outbox_written BEFORE INSERT OR UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION outbox_written();
-- For rows that replication or a restore brings, too.
ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_written;

-- An expression, so that the statement that names it can use this index only: see `store/postgres/numbering/scan.rs`.
CREATE INDEX outbox_txid ON outbox (txid, (id + 0));
