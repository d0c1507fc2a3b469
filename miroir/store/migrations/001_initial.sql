-- The first shape of the store. A migration that has been released is never edited: add the next one.

-- Who we are. The id is made here, once, so that two stores can never be taken for one cluster.
CREATE TABLE cluster (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cluster_id TEXT NOT NULL
) STRICT;
INSERT INTO cluster (id, cluster_id) VALUES (1, lower(hex(randomblob(16))));

-- Sequences. They live in rows and not in processes, so that several processes draw from one.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES
    ('stamp', 0), ('task', -1), ('revision', 0), ('physical_uid', 0), ('queued_ms', 0);

CREATE TABLE topology (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    topology BLOB NOT NULL
) STRICT;

CREATE TABLE indexes (
    uid TEXT PRIMARY KEY,
    physical_uid TEXT NOT NULL,
    primary_key TEXT,
    shards INTEGER NOT NULL,
    settings BLOB NOT NULL,
    settings_version INTEGER NOT NULL,
    frozen INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every name ever given out, for ever: a name is never used for a second physical index.
CREATE TABLE physical_uids (
    name TEXT PRIMARY KEY,
    garbage INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX physical_uids_garbage ON physical_uids (name) WHERE garbage = 1;

-- nodes: JSON array, sorted, never empty.
CREATE TABLE in_sync (
    physical_uid TEXT NOT NULL,
    shard INTEGER NOT NULL,
    nodes TEXT NOT NULL CHECK (nodes <> '[]'),
    PRIMARY KEY (physical_uid, shard)
) STRICT, WITHOUT ROWID;

-- node: '' asks for a verification of all copies.
CREATE TABLE repairs (
    physical_uid TEXT NOT NULL,
    shard INTEGER NOT NULL,
    node TEXT NOT NULL,
    reason TEXT NOT NULL,
    queued_ms INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (physical_uid, shard, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE intents (
    stamp INTEGER PRIMARY KEY,
    index_uid TEXT NOT NULL,
    physical_uid TEXT NOT NULL,
    shards TEXT NOT NULL,
    topology_version INTEGER NOT NULL,
    peer TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    idempotency_key TEXT
) STRICT;
CREATE INDEX intents_by_physical_uid ON intents (physical_uid);

CREATE TABLE tombstones (
    stamp INTEGER PRIMARY KEY,
    physical_uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    selector BLOB NOT NULL,
    shards TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX tombstones_by_physical_uid ON tombstones (physical_uid);

-- shards: JSON array; empty holds the whole name.
CREATE TABLE holds (
    physical_uid TEXT NOT NULL,
    operation TEXT NOT NULL,
    shards TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (physical_uid, operation)
) STRICT, WITHOUT ROWID;

-- *_at: the text that clients see. *_ns: the same instant in nanoseconds of the Unix clock, to compare by, because
-- texts with and without a fraction do not sort.
CREATE TABLE tasks (
    uid INTEGER PRIMARY KEY,
    index_uid TEXT,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    node_tasks TEXT NOT NULL,
    details TEXT NOT NULL,
    error TEXT,
    enqueued_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    enqueued_ns INTEGER NOT NULL,
    started_ns INTEGER,
    finished_ns INTEGER,
    canceled_by INTEGER,
    session TEXT,
    origin TEXT NOT NULL,
    physical_uid TEXT,
    stamp INTEGER NOT NULL
) STRICT;
CREATE INDEX tasks_open ON tasks (uid) WHERE status IN ('enqueued', 'processing');
CREATE INDEX tasks_finished ON tasks (finished_ns, uid) WHERE status IN ('succeeded', 'failed', 'canceled');
-- What clients filter by. Each holds all three columns, so that any mixture of them is counted by an index alone; the
-- origin stands in front and is no condition of the index, for then SQLite would still look it up in the rows.
CREATE INDEX tasks_by_status ON tasks (origin, status, type, index_uid);
CREATE INDEX tasks_by_type ON tasks (origin, type, status, index_uid);
CREATE INDEX tasks_by_index_uid ON tasks (origin, index_uid, status, type);
CREATE INDEX tasks_by_enqueued ON tasks (origin, enqueued_ns);
CREATE INDEX tasks_by_canceled_by ON tasks (canceled_by, uid) WHERE canceled_by IS NOT NULL;

-- Client tasks by status, kept as they change: the total of an unfiltered listing must not read every task.
CREATE TABLE task_counts (
    status TEXT PRIMARY KEY,
    tasks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO task_counts (status, tasks) VALUES
    ('enqueued', 0), ('processing', 0), ('succeeded', 0), ('failed', 0), ('canceled', 0);
CREATE TRIGGER task_counted AFTER INSERT ON tasks WHEN NEW.origin = 'client' BEGIN
    UPDATE task_counts SET tasks = tasks + 1 WHERE status = NEW.status;
END;
CREATE TRIGGER task_recounted AFTER UPDATE OF status ON tasks
WHEN NEW.origin = 'client' AND NEW.status <> OLD.status BEGIN
    UPDATE task_counts SET tasks = tasks - 1 WHERE status = OLD.status;
    UPDATE task_counts SET tasks = tasks + 1 WHERE status = NEW.status;
END;
CREATE TRIGGER task_uncounted AFTER DELETE ON tasks WHEN OLD.origin = 'client' BEGIN
    UPDATE task_counts SET tasks = tasks - 1 WHERE status = OLD.status;
END;

CREATE TABLE node_identities (
    node TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    highest_task_uid INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    body_sha256 BLOB NOT NULL,
    task_uid INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_ms);
