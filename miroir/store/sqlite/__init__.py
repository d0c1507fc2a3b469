"""The store in one SQLite file: for a single process, or several workers of one pod. Never on a network file system."""

from miroir.store.sqlite.backend import SqliteStore, open_sqlite

__all__ = ["SqliteStore", "open_sqlite"]
