-- Nothing was read from these rows: a copy comes back by comparing whole lists (docs/architecture.md, "Deletions").
DROP TABLE tombstones;
