"""What the registry takes over from rows that were read a moment ago."""

from __future__ import annotations

from dataclasses import replace

from miroir.indexes import Registry
from miroir.store import IndexRow

BOOKS = IndexRow("books", "books-1", None, 4, b"{}", 1, False, "", "", 5)


def test_newer_rows_are_taken_and_older_ones_are_not() -> None:
    registry = Registry(exact_ties=True)
    films = replace(BOOKS, uid="films", physical_uid="films-1")
    registry.load([BOOKS, films])
    newer = replace(BOOKS, primary_key="id", revision=7)
    registry.catch_up([newer, replace(films, primary_key="sku", revision=4)])
    assert [index.row for index in registry.all()] == [newer, films]
    registry.catch_up([BOOKS])
    assert registry.get("books").row == newer


def test_what_was_made_renamed_or_deleted_since_is_known_better() -> None:
    registry = Registry(exact_ties=True)
    made, renamed = (
        replace(BOOKS, physical_uid="books-2", revision=8),
        replace(BOOKS, uid="films", physical_uid="films-1"),
    )
    registry.load([made, renamed])
    before = [
        replace(BOOKS, revision=9),  # the incarnation before
        replace(renamed, uid="old-films", revision=9),
        replace(BOOKS, uid="gone", physical_uid="gone-1", revision=9),
    ]
    registry.catch_up(before)
    assert [index.row for index in registry.all()] == [made, renamed]
    registry.catch_up([])
    assert [index.uid for index in registry.all()] == ["books", "films"]
