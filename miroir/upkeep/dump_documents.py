"""The documents of a dump: the second pass over its archive, in batches that are the same every time.

An import that was interrupted goes on in the middle of this pass. What is behind it is unpacked again, since a gzipped
file has no other way to its middle, but not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from miroir.upkeep.dump_archive import Archive, BadDump, Member

_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the pass: behind so many bytes of the document file that is the `file`-th of those wanted."""

    file: int
    offset: int


START: Final = Place(0, 0)


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """Some documents of one file, as lines; `start` is the place of the first, `end` that behind the last."""

    path: str
    start: Place
    end: Place
    documents: int
    body: bytes


def batches_of(
    archive: Archive, wanted: Collection[str], *, after: Place, batch_size: int, batch_bytes: int, longest: int
) -> Iterator[DocumentBatch]:
    """Batches of at most `batch_size` documents and about `batch_bytes`, in the order of the archive.

    `longest`: bytes of one document; `BadDump` for a longer one. Where `after` is the end of an earlier batch, what
    follows is what would have followed then. Blocking.
    """
    number = 0
    for member in archive:
        if member.path not in wanted:
            continue
        if number >= after.file:
            skipped = after.offset if number == after.file else 0
            if skipped > member.size:
                raise BadDump(f"`{member.path}` is shorter than it was")
            archive.skip(skipped)
            yield from _batches(archive, member, number, skipped, batch_size, batch_bytes, longest)
        number += 1


def _batches(
    archive: Archive, member: Member, file: int, offset: int, batch_size: int, batch_bytes: int, longest: int
) -> Iterator[DocumentBatch]:
    start = end = offset
    lines: list[bytes] = []
    held = 0
    for line, behind in _lines(archive, member, offset, longest):
        if lines and (len(lines) == batch_size or held + len(line) > batch_bytes):
            yield DocumentBatch(member.path, Place(file, start), Place(file, end), len(lines), b"\n".join(lines))
            start, lines, held = end, [], 0
        end = behind
        if line.strip():
            lines.append(line)
            held += len(line)
    if lines:
        yield DocumentBatch(member.path, Place(file, start), Place(file, end), len(lines), b"\n".join(lines))


def _lines(archive: Archive, member: Member, offset: int, longest: int) -> Iterator[tuple[bytes, int]]:
    """The lines from there on, each with the place behind it."""
    parts: list[bytes] = []
    held = 0
    at = offset
    left = member.size - offset
    while left:
        piece = archive.read(_PIECE)
        left -= len(piece)
        first, *others = piece.split(b"\n")
        parts.append(first)
        held += len(first)
        if held > longest:
            raise BadDump(f"`{member.path}` holds a document of more than {longest} bytes, behind byte {at}")
        for other in others:
            at += held + 1
            yield b"".join(parts), at
            parts, held = [other], len(other)
    if held:
        yield b"".join(parts), at + held
