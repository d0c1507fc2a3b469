"""What an index is on a node: the settings it must show, and the calls that make it so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from miroir.indexes.registry import Index
from miroir.indexes.settings import EXPERIMENTAL, Wish, expected_on_node, fingerprint, node_settings
from miroir.indexes.words import is_certain
from miroir.nodes import NodeCall
from miroir.store import IndexRow


@dataclass(frozen=True, slots=True)
class NodeIndex:
    """The same for every index: which of our additions there are."""

    exact_ties: bool
    anti_entropy: bool

    def expected(self, row: IndexRow, wish: Wish, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a node shows once it has this wish and our additions.

        `like`: what it shows now. Settings behind experimental features are expected of a node that shows them.
        """
        return expected_on_node(
            wish,
            primary_key=row.primary_key,
            exact_ties=self.exact_ties,
            anti_entropy=self.anti_entropy,
            experimental=tuple(name for name in EXPERIMENTAL if like is not None and name in like),
        )

    def shows(self, shown: Mapping[str, Any], row: IndexRow, wish: Wish, *, words: bool = True) -> bool:
        """Whether what a node shows is this wish. Settings we know nothing of are the node's own business.

        `words=False`: whatever it makes of the words of which only a node knows the spelling (`miroir.indexes.words`).
        """
        expected = self.expected(row, wish, shown)
        if not words:
            shown, expected = _without_words(shown), _without_words(expected)
        known = {name: value for name, value in shown.items() if name in expected}
        return fingerprint(known) == fingerprint(expected)

    def settings_call(self, row: IndexRow, wish: Wish, present: Mapping[str, Any] | None) -> NodeCall:
        """The change that takes a node from what it shows now (None: a new index) to the wish."""
        return _patch(row, self._settings(row, wish, present))

    def change_call(self, row: IndexRow, before: Wish, after: Wish, names: frozenset[str]) -> NodeCall:
        """The change from one wish to the next, as a client's own: it says nothing of what it does not touch.

        A setting that was asked for before and that a node is going to fail must not make it fail this one too.
        """
        present, expected = self.expected(row, before), self.expected(row, after)
        settings = self._settings(row, after, present)
        touched = {name for name in settings if name in names or present.get(name) != expected.get(name)}
        return _patch(row, {name: value for name, value in settings.items() if name in touched})

    def primary_key_call(self, row: IndexRow, before: IndexRow, wish: Wish) -> NodeCall:
        """What a primary key that has just been found changes: the rule by which we address keys."""
        present, expected = self.expected(before, wish), self.expected(row, wish)
        settings = self._settings(row, wish, present)
        return _patch(row, {name: value for name, value in settings.items() if present.get(name) != expected[name]})

    def calls_to_restore(self, index: Index, shown: Mapping[str, Any] | None) -> list[NodeCall]:
        """What a node must be sent to have this index as it should be, in order; nothing if it has.

        As it should be: with every change of settings that was acknowledged. `shown`: its settings as the node has
        them now, None where it has no such index.
        """
        row, wish = index.row, index.wishes[-1]
        if shown is None:
            body = {"uid": row.physical_uid, "primaryKey": row.primary_key}
            creation = NodeCall("index", "POST", "/indexes", msgspec.json.encode(body))
            return [creation, self.settings_call(row, wish, None)]
        if self.shows(shown, row, wish):
            return []
        return [self.settings_call(row, wish, shown)]

    def _settings(self, row: IndexRow, wish: Wish, present: Mapping[str, Any] | None) -> dict[str, Any]:
        settings = node_settings(
            wish,
            primary_key=row.primary_key,
            exact_ties=self.exact_ties,
            anti_entropy=self.anti_entropy,
            node=present,
        )
        expected = self.expected(row, wish, present)
        for name in EXPERIMENTAL:
            if present is not None and name in present and present[name] != expected[name]:
                settings.setdefault(name)  # what the client never named goes back to its default
        return settings


def _patch(row: IndexRow, settings: Mapping[str, Any]) -> NodeCall:
    target = f"/indexes/{quote(row.physical_uid)}/settings"
    return NodeCall("settings", "PATCH", target, msgspec.json.encode(settings))


def _without_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With each list of words cut down to those we can spell, and whether there are others."""
    cut = dict(settings)
    cut["stopWords"] = _certain(settings.get("stopWords"))
    typos = settings.get("typoTolerance")
    if isinstance(typos, Mapping):
        cut["typoTolerance"] = {**typos, "disableOnWords": _certain(typos.get("disableOnWords"))}
    return cut


def _certain(words: object) -> object:
    if not isinstance(words, list):
        return words
    certain = [word for word in words if is_certain(word)]
    return certain if len(certain) == len(words) else [*certain, None]
