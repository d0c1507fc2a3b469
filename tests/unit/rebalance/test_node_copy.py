"""Copying documents between nodes: in portions that a node can answer, and in few tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec

from miroir.nodes import NodeCall
from miroir.nodes.client import Listing
from miroir.rebalance import NodeCopies
from miroir.stamps import PLACED_FIELD, SEQ_FIELD, seq_text

SINCE = 1


class _Source:
    """A node with so many documents of one size."""

    def __init__(self, documents: int, size: int) -> None:
        self.documents = {
            str(key): {"id": str(key), SEQ_FIELD: seq_text(SINCE, key), PLACED_FIELD: "x", "text": "a" * size}
            for key in range(documents)
        }
        self.fetched: list[int] = []

    async def list_documents(self, _uid: str, _filter: str, fields: Iterable[str], _limit: int) -> Listing:
        return _listing({name: each[name] for name in fields} for each in self.documents.values())

    async def fetch_documents(self, _uid: str, ids: Sequence[str]) -> Listing:
        found = _listing(self.documents[key] for key in ids if key in self.documents)
        self.fetched.append(sum(map(len, found.results)))
        return found


def _listing(documents: Iterable[dict[str, Any]]) -> Listing:
    return Listing([msgspec.Raw(json.dumps(each, separators=(",", ":")).encode()) for each in documents])


class _Rig:
    """A source, an empty copy, and what the copy is sent."""

    def __init__(self, source: _Source) -> None:
        self.nodes = {"source": source, "copy": _Source(0, 0)}
        self.sent: list[bytes] = []
        incarnations = dict.fromkeys(self.nodes, "life")
        cluster = SimpleNamespace(clients=self.nodes, incarnations=incarnations, confirmed=self._confirmed)
        self.index: Any = SimpleNamespace(physical_uid="x", row=SimpleNamespace(primary_key="id"))
        parts: Any = (cluster, SimpleNamespace(issue_stamp=self._stamp), None, SimpleNamespace(carry_out=self._carry))
        self.copies = NodeCopies(*parts, batch_size=1000)

    async def _confirmed(self, _node: str) -> None: ...

    async def _stamp(self) -> int:
        return 7

    async def _carry(self, _uid: str, node: str, calls: Sequence[NodeCall]) -> None:
        assert node == "copy"
        self.sent += [call.body for call in calls]

    def ids(self) -> list[str]:
        return [document["id"] for body in self.sent for document in json.loads(body)]


async def test_small_documents_are_one_task() -> None:
    rig = _Rig(_Source(999, 10))
    await rig.copies.copy(rig.index, (0,), "source", "copy", since=SINCE, before=5)
    assert rig.ids() == list(rig.nodes["source"].documents)
    assert len(rig.sent) == 1


async def test_large_documents_are_asked_for_a_few_at_a_time() -> None:
    rig = _Rig(_Source(44, 1 << 20))
    await rig.copies.copy(rig.index, (0,), "source", "copy", since=SINCE, before=5)
    assert rig.ids() == list(rig.nodes["source"].documents)
    assert max(rig.nodes["source"].fetched) <= 16 << 20
    assert max(map(len, rig.sent)) <= (16 << 20) + 2


async def test_large_contents_are_compared_a_few_at_a_time() -> None:
    rig = _Rig(_Source(44, 1 << 20))
    rig.nodes["copy"] = other = _Source(44, 1 << 20)
    other.documents["41"]["text"] = "b"
    difference = await rig.copies.difference(rig.index, (0,), "source", "copy", SINCE)
    assert (difference.to_copy, difference.to_delete) == (("41",), ())
    assert max(other.fetched) <= 16 << 20
