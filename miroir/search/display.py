"""What of a hit the client sees: our members cut out of the bytes, hidden fields hidden as a node hides them.

Nodes display everything (`displayedAttributes: ["*"]`); the client's list is applied here. A hit is, in this order, the
document, `_formatted`, `_matchesPosition`, `_rankingScore`, `_rankingScoreDetails`, so the last two are cut from the
end. Stamps stand side by side, so one search finds them all; where a hit holds more marks than such a run, an object of
the client's has a member named like ours, and the hit is taken apart to find out which is which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec
import orjson

from miroir.search.ranking import DETAILS_MEMBER, SCORE_MEMBER, SEQ_RULE
from miroir.search.written import Parts, cut, parts_before
from miroir.stamps import STAMP_FIELDS

Members = dict[str, msgspec.Raw]

_decode_members: Final = msgspec.json.Decoder(Members)
_decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw])

_MARK: Final = b'"_miroir_'
_FORMATTED: Final = b'"_formatted":'
_LETTERS: Final = rb'"(?:\xe2[\x81\xb8][\x80-\xbf])+"'
_STAMP: Final = rb"\"(?:%s)\":%s" % ("|".join(STAMP_FIELDS).encode(), _LETTERS)
_RUN: Final = re.compile(rb"%s(?:,%s)*" % (_STAMP, _STAMP))
_STAMP_VALUE: Final = re.compile(_LETTERS)
_OWN_RULE: Final = re.compile(rb',?"%s":\{"order":[0-9]+,"value":"[^"]*"\}' % SEQ_RULE.encode())
_UNRANKED: Final = SCORE_MEMBER + b"1.0"
_STAMPS: Final = frozenset(STAMP_FIELDS)
_COMMA: Final = 0x2C
_OPEN: Final = 0x7B
_CLOSE: Final = 0x7D


def _is_stamp(name: str, value: msgspec.Raw) -> bool:
    """Whether a member is ours: an optional field of ours may be the client's own, and then holds no such text."""
    return name in _STAMPS and _STAMP_VALUE.fullmatch(bytes(value)) is not None


def _joined(members: Iterable[tuple[str, bytes]]) -> bytes:
    return b"{%s}" % b",".join([b"%s:%s" % (orjson.dumps(name), value) for name, value in members])


def _covers(names: Collection[str], path: str) -> bool:
    """Whether one of `names` is the path or a parent of it."""
    if path in names:
        return True
    at = path.rfind(".")
    while at > 0:
        if path[:at] in names:
            return True
        at = path.rfind(".", 0, at)
    return False


def _select_value(value: bytes, paths: Collection[str]) -> bytes | None:
    """What of a nested value the paths below it select; None: it is neither object nor list.

    Objects and lists are shown even if nothing in them is selected, but for objects in lists: those are left out.
    """
    if value[:1] == b"{":
        return _joined(_select(_decode_members.decode(value), paths))
    if value[:1] == b"[":
        items = [_select_value(bytes(item), paths) for item in _decode_items.decode(value)]
        return b"[%s]" % b",".join([item for item in items if item is not None and item != b"{}"])
    return None


def _select(members: Members, names: Collection[str]) -> Iterable[tuple[str, bytes]]:
    """The members that dotted names select, whole or in part."""
    for name, value in members.items():
        if name in names:
            yield name, bytes(value)
            continue
        below = [path[len(name) + 1 :] for path in names if path.startswith(f"{name}.")]
        part = _select_value(bytes(value), below) if below else None
        if part is not None:
            yield name, part


def cut_to(document: bytes, names: Collection[str]) -> bytes:
    """A document cut down to what dotted names select, as a node cuts it."""
    return _joined(_select(_decode_members.decode(document), names))


def _without_run(head: bytes, start: int, end: int) -> bytes:
    """`head` without a run of members and one comma beside it."""
    if end < len(head) and head[end] == _COMMA:
        return head[:start] + head[end + 1 :]
    if head[start - 1] == _COMMA:
        return head[: start - 1] + head[end:]
    return head[:start] + head[end:]


class Presentation(msgspec.Struct, frozen=True):
    """How the nodes' hits become the client's. Made once per request."""

    displayed: frozenset[str] | None = None
    """The client's displayed attributes; None: all."""
    has_score: bool = False
    """Hits carry `_rankingScore`."""
    keep_score: bool = False
    has_details: bool = False
    """Hits carry `_rankingScoreDetails`."""
    keep_details: bool = False
    ranked: bool = True
    """Rules of the client's take part: otherwise all that a hit is ranked by is ours."""
    has_stamps: bool = True
    """The documents come with stamps at their top level."""
    has_formatted: bool = False
    """Hits may carry `_formatted`, with stamps in it when the documents have them."""
    has_positions: bool = False
    """Hits carry `_matchesPosition`."""
    retrieve: frozenset[str] | None = None
    """Cut documents to these names: more was asked of the nodes, for the merge. None: nothing more."""
    formatted: frozenset[str] | None = None
    """Cut `_formatted` to these names; None as above."""

    def shown(self, hits: Sequence[bytes], apart: Iterable[Parts | None] | None = None) -> list[bytes]:
        """The hits as the client gets them and commas between, in pieces to be joined.

        `apart`: their parts, if somebody has taken them apart already.
        """
        added = self.has_formatted or self.has_positions or self.keep_score or self.keep_details
        if added or not self.has_stamps or self.retrieve is not None:
            return [b",".join(map(self.present, map(bytes, hits)))]
        if apart is None:
            first = SCORE_MEMBER if self.has_score else DETAILS_MEMBER if self.has_details else b""
            apart = map(partial(parts_before, b"," + first if first else b"}"), hits)
        return cut(hits, apart, self.present)

    def present(self, hit: bytes) -> bytes:
        """One hit as the client gets it, whatever it looks like."""
        end = len(hit) - 1
        tail = b""
        if self.has_details:
            at = hit.rfind(DETAILS_MEMBER, 0, end)
            if at > 0:
                if self.keep_details:
                    details = self._details(hit[at + len(DETAILS_MEMBER) : end]) if self.ranked else b"{}"
                    tail = b",%s%s" % (DETAILS_MEMBER, details)
                end = at - 1 if hit[at - 1] == _COMMA else at
        if self.has_score:
            at = hit.rfind(SCORE_MEMBER, 0, end)
            if at > 0:
                if self.keep_score:
                    tail = b",%s%s" % (hit[at:end] if self.ranked else _UNRANKED, tail)
                end = at - 1 if hit[at - 1] == _COMMA else at
        head = hit[:end]
        if self.retrieve is not None or (self.has_positions and self.displayed is not None):
            head = self._taken_apart(head)
        elif self.has_stamps:
            head = self._stripped(head)
        if tail and len(head) == 1:
            tail = tail[1:]
        return b"%s%s}" % (head, tail)

    def _stripped(self, head: bytes) -> bytes:
        """Without stamps, by their looks where that is certain. `head` lacks its closing brace."""
        marks = head.count(_MARK)
        if marks == 0:
            return head
        run = _RUN.search(head)
        if run is None:
            return self._taken_apart(head)
        start, end = run.span()
        marks -= head.count(_MARK, start, end)
        if marks == 0:
            emptied = head[start - 1] == _OPEN and head[end : end + 1] == b"}"
            return self._taken_apart(head) if emptied else _without_run(head, start, end)
        if not self.has_formatted:
            return self._taken_apart(head)
        second = _RUN.search(head, end)
        formatted = head.find(_FORMATTED, end)
        if second is None or marks != head.count(_MARK, *second.span()) or not end < formatted < second.start():
            return self._taken_apart(head)
        if head.count(_FORMATTED) != 1 or (head[second.start() - 1] == _OPEN and head[second.end()] == _CLOSE):
            return self._taken_apart(head)
        return _without_run(_without_run(head, *second.span()), start, end)

    def _taken_apart(self, head: bytes) -> bytes:
        """The exact way: member by member. `head` lacks its closing brace."""
        members = _decode_members.decode(head + b"}")
        formatted = members.pop("_formatted", None) if self.has_formatted else None
        positions = members.pop("_matchesPosition", None) if self.has_positions else None
        members = {name: value for name, value in members.items() if not _is_stamp(name, value)}
        shown = self._document(members)
        if formatted is not None:
            inner = {n: v for n, v in _decode_members.decode(formatted).items() if not _is_stamp(n, v)}
            chosen = (
                [(name, bytes(value)) for name, value in inner.items()]
                if self.formatted is None
                else list(_select(inner, self.formatted))
            )
            if chosen:
                shown.append(("_formatted", _joined(chosen)))
        if positions is not None:
            found = _decode_members.decode(positions)
            displayed = self.displayed
            shown.append(
                (
                    "_matchesPosition",
                    _joined(
                        (name, bytes(value))
                        for name, value in found.items()
                        if displayed is None or _covers(displayed, name)
                    ),
                )
            )
        return _joined(shown)[:-1]

    def _document(self, members: Members) -> list[tuple[str, bytes]]:
        names = self.retrieve
        if names is None:
            return [(name, bytes(value)) for name, value in members.items()]
        distance = members.pop("_geoDistance", None)
        vectors = members.pop("_vectors", None)
        chosen = list(_select(members, names))
        if vectors is not None:  # asked for by retrieveVectors, whatever the names
            chosen.append(("_vectors", bytes(vectors)))
        if distance is not None and any(name == "_geo" for name, _ in chosen):
            chosen.append(("_geoDistance", bytes(distance)))
        return chosen

    def _details(self, details: bytes) -> bytes:
        """Without our rule; sorts by hidden fields as a node redacts them."""
        if SEQ_RULE.encode() in details:
            details = _OWN_RULE.sub(b"", details)
            if details[1:2] == b",":
                details = b"{" + details[2:]
        if self.displayed is None:
            return details
        shown = []
        for rule, detail in _decode_members.decode(details).items():
            name, _, direction = rule.rpartition(":")
            if direction in ("asc", "desc") and not name.startswith("_geoPoint(") and name not in self.displayed:
                order = orjson.loads(bytes(detail)).get("order", 0)
                shown.append((f"<hidden-rule-{order}>", b'{"order":%d,"value":"<hidden>"}' % order))
            else:
                shown.append((rule, bytes(detail)))
        return _joined(shown)
