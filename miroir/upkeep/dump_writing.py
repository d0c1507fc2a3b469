"""Writing a dump: the archive as Meilisearch lays it out, and the order in which documents go into it. Blocking.

An archive wants the size of a file before its contents, so the documents of one index at a time are written to a file
of their own first. Which documents there are is a table on the disk, for their keys alone may be more than fits into
memory; its order is that of insertion, over all shards.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

_LEVEL: Final = 6
"""Of compression: what Meilisearch itself uses."""


class Contents(Protocol):
    """What can be read from its beginning to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""


class DumpFile:
    """A dump being written under another name; it gets its own when all of it is on the disk.

    `with DumpFile(target) as dump`, and `dump.finish()` at the end: whatever is not finished is removed.
    """

    def __init__(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        # What is in a dump is for nobody else on this machine: keys, addresses, all documents.
        self._file = open(os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")  # noqa: SIM115 - closed in __exit__
        self._archive = tarfile.open(fileobj=self._file, mode="w:gz", compresslevel=_LEVEL, format=tarfile.GNU_FORMAT)  # noqa: SIM115 - the same
        self._folders: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk, refusing once more what it has refused already
            self._file.close()
        self._part.unlink(missing_ok=True)

    def add(self, path: str, content: bytes) -> None:
        """A file with these contents."""
        self.add_file(path, BytesIO(content), len(content))

    def add_file(self, path: str, content: Contents, size: int) -> None:
        """A file with the next `size` bytes of `content`."""
        self.add_folder(path.rpartition("/")[0])
        info = tarfile.TarInfo(path)
        info.size = size
        info.mode = 0o644
        self._archive.addfile(info, content)

    def add_folder(self, path: str) -> None:
        """A folder, and those it is in, unless they are there."""
        if not path or path in self._folders:
            return
        self.add_folder(path.rpartition("/")[0])
        self._folders.add(path)
        info = tarfile.TarInfo(path)
        info.type = tarfile.DIRTYPE
        info.mode = 0o755
        self._archive.addfile(info)

    def finish(self) -> None:
        """All of it to the disk, and under its name at once."""
        self._archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.rename(self._target)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class KeyTable:
    """The documents of an index by their key and shard, in the order of their stamps, on the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "keys.part"
        self._file.unlink(missing_ok=True)
        self._db = sqlite3.connect(self._file, check_same_thread=False, isolation_level=None)
        self._rows = self._db.cursor()
        try:
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute(
                "CREATE TABLE keys (stamp TEXT, key TEXT, shard INTEGER, PRIMARY KEY (stamp, key)) WITHOUT ROWID"
            )
        except sqlite3.Error:
            self.close()
            raise

    def add(self, documents: Iterable[tuple[str, str, int]]) -> None:
        """Stamp, key and shard of more documents."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", documents)
        self._db.execute("COMMIT")

    def next(self, count: int) -> Sequence[tuple[str, int]]:
        """Key and shard of the next documents; none at the end."""
        if self._rows.description is None:
            self._rows.execute("SELECT key, shard FROM keys ORDER BY stamp, key")
        return self._rows.fetchmany(count)

    def close(self) -> None:
        """Nothing of it stays."""
        with suppress(sqlite3.Error):
            self._db.close()
        self._file.unlink(missing_ok=True)
