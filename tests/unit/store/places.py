"""Where stores live, for each backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from miroir.store import Store
from miroir.store.sqlite import SqliteStore, open_sqlite


class Place(Protocol):
    """Where one store lives; it may be opened again, and by several at once."""

    async def open(self, clock_us: Callable[[], int]) -> Store:
        """Open it; the caller closes it."""


class SqlitePlace:
    """A file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def open(self, clock_us: Callable[[], int]) -> SqliteStore:
        return await open_sqlite(self.path, clock_us=clock_us)
