-- What an Idempotency-Key stands for. No door used the table before.
--
-- attempts: writes that began under the key and may have done something, whatever became of them. made: the physical
-- index that an attempt has put into the registry. The other columns are those of the task the key stands for, all NULL
-- until there is one; they are kept here because tasks may be deleted sooner.
DROP TABLE idempotency;
CREATE TABLE idempotency (
    key BLOB PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    made TEXT,
    task_uid INTEGER,
    index_uid TEXT,
    type TEXT,
    enqueued_at TEXT,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_ms);
CREATE INDEX idempotency_by_made ON idempotency (made) WHERE made IS NOT NULL;
ALTER TABLE intents DROP COLUMN idempotency_key;
ALTER TABLE intents ADD COLUMN idempotency_key BLOB;
CREATE INDEX intents_by_idempotency_key ON intents (idempotency_key) WHERE idempotency_key IS NOT NULL;
