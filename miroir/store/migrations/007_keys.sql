-- API keys, without their values: nodes make those from their master key. A deleted key is kept: nodes that were away
-- still have it. default_key: which of a new node's own keys it stands for. actions, indexes: JSON arrays, as sent.
CREATE TABLE keys (
    uid TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('making', 'live', 'deleted')),
    name TEXT,
    description TEXT,
    actions TEXT NOT NULL,
    indexes TEXT NOT NULL,
    expires_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    default_key TEXT
) STRICT, WITHOUT ROWID;
