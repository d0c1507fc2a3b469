-- Long work that outlives the process it was begun in. params, progress, error: JSON, understood by who carries it out.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'in_progress', 'completed', 'failed', 'canceled')),
    params TEXT NOT NULL,
    progress TEXT NOT NULL,
    error TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
