"""Error parity: the same wrong requests to both sides; refusals are equal in status, code, type, text and link."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from miroir.api import Router, register_refused
from tests.client import Api, wait_until
from tests.compat.refusals import Key, Wrong

_MEMBERS: Final = ("code", "type", "message", "link")
_UNKNOWN_KEY: Final = "a-key-that-nobody-has-made"
_DOCUMENTS: Final = 20
_COME_AGAIN: Final = (503, 504)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Said = tuple[int, Any]
"""Status, and the members of the error; or what else the body holds."""


@dataclass(frozen=True)
class Exempt:
    """Wrong requests that are answered otherwise than by a node, knowingly."""

    name: str
    why: str
    applies: Callable[[Wrong], bool]


_refused: Final = Router()
register_refused(_refused)


def _is_refused(wrong: Wrong) -> bool:
    return not isinstance(_refused.find(wrong.method, wrong.path.partition("?")[0]), int)


EXEMPT: Final = (
    Exempt(
        "routes that are refused",
        "501 with the reason, whatever is wrong with the request; 401 and 403 are a node's.",
        lambda wrong: _is_refused(wrong) and wrong.key is Key.MASTER,
    ),
)
"""Every exception there is, with its reason."""


@dataclass(frozen=True)
class Compared:
    """One wrong request and what both sides said to it."""

    wrong: Wrong
    left: Said
    right: Said
    exempt: Exempt | None

    @property
    def equal(self) -> bool:
        return self.left == self.right

    def __str__(self) -> str:
        return f"{self.wrong}\n    left:  {self.left}\n    right: {self.right}"


@dataclass
class Parity:
    """What came of a table of wrong requests."""

    compared: list[Compared] = field(default_factory=list)

    @property
    def equal(self) -> int:
        return sum(each.equal for each in self.compared)

    @property
    def exempt(self) -> int:
        """Different, and knowingly so."""
        return sum(not each.equal and each.exempt is not None for each in self.compared)

    @property
    def differing(self) -> list[Compared]:
        return [each for each in self.compared if not each.equal and each.exempt is None]

    @property
    def accepted(self) -> list[Compared]:
        """What the left side does not refuse: faults of the table."""
        return [each for each in self.compared if each.left[0] < 400]

    @property
    def share(self) -> float:
        """Equal ones among all but the exempt."""
        judged = len(self.compared) - self.exempt
        return self.equal / judged if judged else 1.0

    def rows(self) -> list[tuple[str, int, int, int, int]]:
        """By kind: how many requests, how many equal, exempt, different."""
        found: dict[str, list[int]] = {}
        for each in self.compared:
            row = found.setdefault(each.wrong.kind, [0, 0, 0, 0])
            row[0] += 1
            row[1 if each.equal else 2 if each.exempt else 3] += 1
        return [(kind, *row) for kind, row in sorted(found.items())]  # type: ignore[misc]  # four of them

    def __str__(self) -> str:
        judged = len(self.compared) - self.exempt
        return f"errors equal: {self.equal} of {judged} ({100 * self.share:.1f} %); {self.exempt} exempt"


class Asker:
    """One side with an index of its own and the keys that the table speaks of."""

    def __init__(self, api: Api, index: str) -> None:
        self._api = api
        self._index = index
        self._address = urlsplit(api.url).netloc
        self._on: list[str] = []
        self._keys: dict[Key, str | None] = {Key.MASTER: api.key, Key.NONE: None, Key.UNKNOWN: _UNKNOWN_KEY}

    def load(self) -> None:
        """Make the index and the keys, and switch every experimental feature off: those who were on go on later."""
        features = self._api.get("/experimental-features")
        self._on = [name for name, on in features.items() if on]
        self._api.patch("/experimental-features", dict.fromkeys(features, False))
        if self._api.request("GET", f"/indexes/{self._index}").status_code == 200:
            self._api.delete_index(self._index)
        self._api.create_index(self._index, "id")
        self._api.update_settings(
            self._index, {"filterableAttributes": ["price"], "sortableAttributes": ["price"]}, timeout_s=60
        )
        self._api.add_documents(
            self._index, [{"id": number, "title": "word", "price": number} for number in range(_DOCUMENTS)]
        )
        for key, actions, indexes in ((Key.IDLE, ["version"], ["*"]), (Key.ELSEWHERE, ["*"], ["elsewhere"])):
            made = self._api.post("/keys", {"actions": actions, "indexes": indexes, "expiresAt": None})
            self._keys[key] = made["key"]

    def unload(self) -> None:
        """Remove them again."""
        self._api.patch("/experimental-features", dict.fromkeys(self._on, True))
        for key in (Key.IDLE, Key.ELSEWHERE):
            self._api.expect(self._api.request("DELETE", f"/keys/{self._keys[key]}"))
        self._api.delete_index(self._index)

    def ask(self, wrong: Wrong) -> Said:
        """Send one, and again while the answer is to come again: nodes on a busy machine may be out of sight."""
        answers: list[Said] = []

        def said() -> bool:
            answers.append(self._send(wrong))
            return answers[-1][0] not in _COME_AGAIN

        wait_until(said, 30, f"an answer to {wrong}")
        return answers[-1]

    def _send(self, wrong: Wrong) -> Said:
        """A connection of its own each: a node that refused a body unread goes deaf on that connection."""
        connection = http.client.HTTPConnection(self._address, timeout=60)
        body = wrong.content.replace(b"{index}", self._index.encode())
        headers = {"connection": "close", **(wrong.headers if wrong.body is not None else {})}
        key = self._keys[wrong.key]
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        try:
            connection.request(wrong.method, wrong.path.replace("{index}", self._index), body, headers)
            response = connection.getresponse()
            return response.status, _said(response.read(), wrong.path)
        finally:
            connection.close()


def _said(body: bytes, sent: str) -> Any:
    """What an answer holds, without the uuids that were drawn for it."""
    text = _UUID.sub(lambda found: found[0] if found[0] in sent else "(drawn)", body.decode(errors="replace"))
    try:
        answer = json.loads(text)
    except ValueError:
        return text
    return {name: answer.get(name) for name in _MEMBERS} if isinstance(answer, dict) else answer


def compare(left: Asker, right: Asker, table: Iterable[Wrong]) -> Parity:
    """Ask both everything."""
    parity = Parity()
    for wrong in table:
        exempt = next((each for each in EXEMPT if each.applies(wrong)), None)
        parity.compared.append(Compared(wrong, left.ask(wrong), right.ask(wrong), exempt))
    return parity
