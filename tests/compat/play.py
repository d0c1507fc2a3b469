"""Plays a sequence of calls on two sides, and compares what they say once all that must differ is taken out."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.client import Api, wait_until
from tests.compat.calls import Call
from tests.compat.compare import differences
from tests.integration.tokens import token

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_DURATION: Final = re.compile(r"PT[\d.]+S")
_TASK: Final = re.compile(r"(uids=|Task `)\d+")
_DUMP: Final = re.compile(r"\b\d{8}-\d{9}\b")
_PLACE: Final = re.compile(r"\{(key:\w+|task)\}")
_ITS_OWN: Final = frozenset(
    {"uid", "taskUid", "batchUid", "processingTimeMs", "from", "next", "requestUid"}
    | {"databaseSize", "usedDatabaseSize", "rawDocumentDbSize", "avgDocumentSize"}
)
"""Members that are numbers of one server: those of its tasks, its sizes, its times."""
_DOCUMENT_ORDER: Final = re.compile(r"^\[1\](\.(results|hits)\[\d+\])?(\.[^:]*)?: members in another order: \[.*\"id\"")
"""Of the members of documents: a node shows them in the order in which it has first seen each."""
_COME_AGAIN: Final = (503, 504)
_TASK_S: Final = 120


@dataclass
class Player:
    """One side: its keys, its last task."""

    api: Api
    prefix: str
    _keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name -> uid and value of a key that the sequence has made; of a webhook, twice its id."""
    _on: list[str] = field(default_factory=list)
    """Experimental features that were on before."""
    _task: int = 0
    _others: int = 0
    """How many indexes that server has besides."""

    def begin(self, indexes: Iterable[str]) -> None:
        """Remove what an earlier sequence may have left; every experimental feature is off until the end."""
        features = self.api.get("/experimental-features")
        self._on = [name for name, on in features.items() if on]
        self.api.patch("/experimental-features", dict.fromkeys(features, False))
        self._clear(indexes)
        self._others = self.api.get("/indexes?limit=0")["total"]

    def end(self, indexes: Iterable[str]) -> None:
        """Leave the side as it was found."""
        self.api.patch("/experimental-features", dict.fromkeys(self._on, True))
        self._clear(indexes)

    def _clear(self, indexes: Iterable[str]) -> None:
        for uid in indexes:
            if self.api.request("GET", f"/indexes/{uid}").status_code == 200:
                self.api.delete_index(uid)

    def play(self, call: Call) -> tuple[int, Any, Any]:
        """Status, what was answered, and the task that it led to once that has ended."""
        answers: list[httpx.Response] = []

        def taken() -> bool:
            answers.append(self._send(call))
            return answers[-1].status_code not in _COME_AGAIN

        wait_until(taken, 60, str(call))
        response = answers[-1]
        body: Any = response.json() if response.content else None
        task = None
        if isinstance(body, dict) and "taskUid" in body:
            self._task = body["taskUid"]
            task = self._normal(self.api.wait_task(body, _TASK_S))
        if call.keep is not None and response.status_code == 201:
            self._keys[call.keep] = (body["uid"], body["key"]) if "key" in body else (body["uuid"], body["uuid"])
        if call.path == "/stats" and response.status_code == 200:
            body["indexes"] = {
                uid: found for uid, found in body["indexes"].items() if uid.startswith(f"{self.prefix}-")
            }
            body.pop("lastUpdate")  # of whatever else is on that server
        if call.path == "/indexes?limit=0" and response.status_code == 200:
            body["total"] -= self._others
        return response.status_code, self._normal(body), task

    def _send(self, call: Call) -> httpx.Response:
        content = (
            call.body if isinstance(call.body, bytes) else b"" if call.body is None else json.dumps(call.body).encode()
        )
        headers = {"connection": "close"}  # a node goes deaf on a connection on which it refused a body unread
        if content:
            headers["content-type"] = call.content_type
        if call.key is not None:
            uid, value = self._keys.get(call.key, ("", "none"))
            credential = value if call.rules is None else token({"apiKeyUid": uid, "searchRules": call.rules}, value)
            headers["authorization"] = f"Bearer {credential}"
        return self.api.request(call.method, _PLACE.sub(self._placed, call.path), content=content, headers=headers)

    def _placed(self, found: re.Match[str]) -> str:
        if found[1] == "task":
            return str(self._task)
        return self._keys.get(found[1].removeprefix("key:"), ("none", ""))[0]

    def _normal(self, value: Any) -> Any:
        """Without what is this side's own; lists of documents by their keys, for an order is compared elsewhere."""
        if isinstance(value, dict):
            named: dict[str, Any] = {
                name: "(own)" if name in _ITS_OWN and isinstance(each, int) else self._normal(each)
                for name, each in value.items()
            }
            for name in ("results", "hits"):
                if name in named and _are_documents(named[name]):
                    named[name] = sorted(named[name], key=lambda each: str(each.get("id", "")))
            return named
        if isinstance(value, list):
            return [self._normal(each) for each in value]
        if not isinstance(value, str):
            return value
        for name, (uid, key) in self._keys.items():
            value = value.replace(key, f"(value of {name})").replace(uid, f"(uid of {name})")
        value = _DUMP.sub("(dump)", _TASK.sub(r"\1(task)", value))
        return _DURATION.sub("(duration)", _TIME.sub("(time)", value))


def _are_documents(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(each, dict) and "enqueuedAt" not in each for each in items)


@dataclass
class Row:
    """One feature: how many calls, and how many were answered alike."""

    feature: str
    calls: int = 0
    equal: int = 0


@dataclass
class Played:
    """What came of a sequence."""

    rows: dict[str, Row] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def calls(self) -> int:
        return sum(row.calls for row in self.rows.values())

    @property
    def equal(self) -> int:
        return sum(row.equal for row in self.rows.values())

    def add(self, call: Call, left: tuple[int, Any, Any], right: tuple[int, Any, Any]) -> None:
        """Compare one answer of each side."""
        row = self.rows.setdefault(call.feature, Row(call.feature))
        row.calls += 1
        self.statuses[left[0]] += 1
        where = [line for line in differences(list(left), list(right)) if not _DOCUMENT_ORDER.search(line)]
        row.equal += not where
        if where:
            self.differing.append(f"{call}\n    " + "\n    ".join(where[:6]))

    def __str__(self) -> str:
        share = 100 * self.equal / self.calls if self.calls else 100.0
        return f"calls equal: {self.equal} of {self.calls} ({share:.1f} %)"


def play(left: Player, right: Player, calls: Iterable[Call]) -> Played:
    """Play a sequence on both sides, call by call."""
    played = Played()
    for call in calls:
        played.add(call, left.play(call), right.play(call))
    return played
