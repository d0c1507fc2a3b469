-- Names that stand for indexes. targets: JSON array of index uids, one for kind `single`.
CREATE TABLE aliases (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    targets TEXT NOT NULL,
    version INTEGER NOT NULL,
    managed_by TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What each version stood for, and since when; bounded, newest kept.
CREATE TABLE alias_history (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    targets TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
