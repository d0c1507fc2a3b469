-- Which version of an index's settings each node was last seen to have, and the fingerprint of what it showed then.
CREATE TABLE node_settings_version (
    physical_uid TEXT NOT NULL,
    node TEXT NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (physical_uid, node)
) STRICT, WITHOUT ROWID;
