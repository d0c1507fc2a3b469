"""A dump as an archive: a tar, gzipped, read once from front to back in bounded memory.

What comes in is somebody else's file. Nothing of it is ever unpacked to a disk, so a path in it can lead nowhere; only
files and folders are taken, no links; names and tables have a largest size; and what an archive says of its own sizes
is never believed further than bytes follow. Python's `tarfile` reads extended headers and sparse maps whole, however
long they claim to be, so only its reading of one header block is used.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, Final, cast

BLOCK: Final = 512
_PIECE: Final = 1 << 20
_LONGEST_NAME: Final = 4096
_LONGEST_HEADER: Final = 1 << 16
_NAMES_AT_MOST: Final = 32 << 20
"""Letters of all paths together: every one is remembered."""
_MEMBERS_AT_MOST: Final = 200_000
_GZIP: Final = b"\x1f\x8b"
_FOLDER: Final = tarfile.DIRTYPE
_FILES: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)
_LONG_NAME: Final = tarfile.GNUTYPE_LONGNAME
_EXTENDED: Final = tarfile.XHDTYPE
_COMMENT: Final = tarfile.XGLTYPE


class BadDump(Exception):
    """What was given is no dump, a damaged one, or none that can be imported. The message says which."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: its path as plain parts joined by `/`, and its size in bytes."""

    path: str
    size: int


def looks_packed(start: bytes) -> bool:
    """Whether a file that begins so can be a dump."""
    return start[:2] == _GZIP


class Archive:
    """Reads forwards only: iterate over the members, and `read` what is wanted of each before the next.

    `max_bytes`: the archive may not unpack to more; 0: no limit. Everything may raise `BadDump`, and `OSError` where
    the file cannot be read. Blocking: for a thread.
    """

    def __init__(self, packed: BinaryIO, *, max_bytes: int = 0) -> None:
        self._unpacked = BufferedReader(cast(BinaryIO, gzip.GzipFile(fileobj=packed, mode="rb")), _PIECE)  # type: ignore[type-var]  # what a reader needs it has
        self._max_bytes = max_bytes
        self._left = 0
        self._padding = 0
        self.position = 0
        """Bytes of the unpacked archive that are behind us."""

    def __iter__(self) -> Iterator[Member]:
        seen: set[str] = set()
        letters = 0
        name: str | None = None
        size: int | None = None
        for _ in range(_MEMBERS_AT_MOST):
            block = self._header()
            if block is None:
                return
            kind = block.type
            self._enter(size if size is not None and kind not in (_EXTENDED, _COMMENT, _LONG_NAME) else block.size)
            if kind == _LONG_NAME:
                name = _text(self._whole(_LONGEST_NAME).rstrip(b"\0"))
                continue
            if kind == _EXTENDED:
                name, size = _extended(self._whole(_LONGEST_HEADER), name)
                continue
            if kind == _COMMENT:
                self._whole(_LONGEST_HEADER)
                continue
            path = _plain_path(block.name if name is None else name)
            name = size = None
            if kind == _FOLDER:
                if self._left:
                    raise BadDump(f"the folder `{path}` has contents of its own")
            elif kind not in _FILES:
                raise BadDump(f"`{path}` is neither a file nor a folder: links and special files are not taken")
            elif path and not path.rpartition("/")[2].startswith("._"):  # what another system says of a file
                if path in seen:
                    raise BadDump(f"`{path}` is there twice")
                seen.add(path)
                letters += len(path)
                if letters > _NAMES_AT_MOST:
                    raise BadDump(f"the names of its files take more than {_NAMES_AT_MOST} letters")
                yield Member(path, self._left)
            self.skip(self._left)
        raise BadDump(f"it holds more than {_MEMBERS_AT_MOST} files")

    def read(self, limit: int) -> bytes:
        """Up to `limit` bytes of the present member; none at its end."""
        piece = self._take(min(limit, self._left))
        self._left -= len(piece)
        return piece

    def skip(self, count: int) -> None:
        """Pass over so many bytes of the present member."""
        while count:
            count -= len(self.read(min(count, _PIECE)))

    def _enter(self, size: int) -> None:
        if size < 0:
            raise BadDump("it is damaged: a file of less than no bytes")
        self._left = size
        self._padding = -size % BLOCK

    def _header(self) -> tarfile.TarInfo | None:
        """The next header, behind what is left of the member before; None at the end."""
        self.skip(self._left)
        self._take(self._padding)
        self._padding = 0
        block = self._read(BLOCK)
        if not block.strip(b"\0"):
            while block:  # to the end, where the gzip file's own checksum is
                block = self._read(_PIECE)
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError):
            raise BadDump("it is not an archive of the kind dumps are (tar, gzipped), or it is damaged") from None

    def _whole(self, limit: int) -> bytes:
        if self._left > limit:
            raise BadDump(f"a header in it is longer than {limit} bytes")
        return self.read(self._left)

    def _take(self, count: int) -> bytes:
        data = self._read(count)
        if len(data) != count:
            raise BadDump("it ends in the middle: was it copied as a whole?")
        return data

    def _read(self, count: int) -> bytes:
        try:
            data = self._unpacked.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as failure:
            raise BadDump(f"it cannot be unpacked: {failure}") from None
        self.position += len(data)
        if self._max_bytes and self.position > self._max_bytes:
            raise BadDump(f"it unpacks to more than {self._max_bytes} bytes (`dump_import.max_bytes`)")
        return data


def _extended(header: bytes, name: str | None) -> tuple[str | None, int | None]:
    """Path and size of a POSIX extended header: records of `length key=value` and a line's end."""
    size: int | None = None
    while header:
        length, _, _ = header.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(header):
            raise BadDump("it is damaged: an extended header cannot be read")
        record, header = header[len(length) + 1 : int(length) - 1], header[int(length) :]
        key, _, value = record.partition(b"=")
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            if not value.isdigit():
                raise BadDump("it is damaged: an extended header cannot be read")
            size = int(value)
        elif key.startswith(b"GNU.sparse"):
            raise BadDump("it holds a file with holes; dumps do not")
    return name, size


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadDump("a path in it is not UTF-8") from None


def _plain_path(name: str) -> str:
    """The path without dots and doubled slashes; empty for the archive's own folder. Refuses what leads out of it."""
    if len(name) > _LONGEST_NAME:
        raise BadDump(f"a path in it is longer than {_LONGEST_NAME} letters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise BadDump(f"the path {name[:100]!r} in it leads elsewhere")
    return "/".join(parts)
