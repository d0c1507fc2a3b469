"""One plain node and one cluster with the same documents, asked the same: what differs is a fault of Miroir's."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.client import Api, wait_until

_TIME = re.compile(rb'"processingTimeMs":\d+')
_numbers = itertools.count(1)

_WORDS = ["red", "green", "blue", "shoe", "shirt", "jacket", "leather", "cotton", "running", "winter", "light", "heavy"]
_BRANDS = ["Acme", "acme", "ACME ", "Globex", "globex", "Café", "Cafe\u0301", "Initech", "10", "Ümlaut", "ﬁne", "été"]

DIMENSIONS = 8
CENTRES = 6

SETTINGS: dict[str, Any] = {
    "filterableAttributes": ["brand", "price", "rating", "mixed", "tags", "specs", "group", "_geo"],
    "sortableAttributes": ["price", "rating", "mixed", "brand", "_geo"],
    "faceting": {"maxValuesPerFacet": 20, "sortFacetValuesBy": {"*": "alpha", "brand": "count", "rating": "count"}},
}


def corpus(seed: int, count: int) -> list[dict[str, Any]]:
    """Documents in random order: ties in plenty, mixed types, missing values, unusual spellings."""
    chance = random.Random(seed)
    keys = list(range(count))
    chance.shuffle(keys)
    documents = []
    for place, key in enumerate(keys):
        document: dict[str, Any] = {
            "id": key,
            "title": " ".join(chance.choice(_WORDS) for _ in range(chance.randint(2, 5))),
            "description": " ".join(chance.choice(_WORDS) for _ in range(chance.randint(4, 12))),
            "brand": chance.choice(_BRANDS),
            "price": chance.choice([5, 9.5, 10, 100, 250.25, 0.1]),
            "rating": chance.randint(1, 5),
            "mixed": chance.choice([1, 2.5, "two", "Three", True, None, ["x", 7], "10", 10]),
            "tags": [chance.choice(["new", "New", "sale", "old", "best"]) for _ in range(chance.randint(0, 3))],
            "specs": {"weight": chance.randint(1, 9), "color": chance.choice(_WORDS[:3])},
            "group": f"g{chance.randint(0, 120)}",
            "_geo": {"lat": chance.uniform(40, 50), "lng": chance.uniform(0, 10)},
        }
        if place >= 60:  # every field is known to every node early, so members come in one order everywhere
            for name in ("price", "mixed", "specs", "_geo", "group"):
                if chance.random() < 0.1:
                    del document[name]
        documents.append(document)
    return documents


def vectors(seed: int, count: int) -> list[list[float]]:
    """Points around a few centres, most of them around the first."""
    chance = random.Random(seed)
    centres = [[chance.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(CENTRES)]
    found = []
    for _ in range(count):
        centre = centres[min(int(chance.expovariate(0.7)), CENTRES - 1)]
        found.append([round(value + chance.gauss(0, 0.15), 4) for value in centre])
    return found


@dataclass(frozen=True)
class Twins:
    """The same indexes behind two doors."""

    plain: Api
    miroir: Api

    def load(self, settings: dict[str, Any], documents: Iterable[dict[str, Any]]) -> str:
        """A new index of these documents on both; its name."""
        uid = f"twins_{next(_numbers)}"
        rows = list(documents)
        for api in (self.plain, self.miroir):
            _create(api, uid)
            api.update_settings(uid, settings)
            api.add_documents(uid, rows, batch=500)
        return uid

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[httpx.Response, httpx.Response]:
        """The two answers to one request. A body of bytes is sent as it is."""
        if isinstance(body, bytes):
            more = {"content": body, "headers": {"content-type": "application/json"}, **more}
        elif body is not None:
            more = {"json": body, **more}
        return self.plain.request(method, path, **more), self.miroir.request(method, path, **more)

    def difference(self, method: str, path: str, body: Any = None, **more: Any) -> str | None:
        """How the answers to one request differ, byte for byte but for the time they took; None: not at all."""
        left, right = self.ask(method, path, body, **more)
        one, other = timeless(left), timeless(right)
        if (left.status_code, one) == (right.status_code, other):
            return None
        at = next((at for at, (this, that) in enumerate(zip(one, other, strict=False)) if this != that), len(one))
        around = slice(max(0, at - 100), at + 200)
        return (
            f"{method} {path} {body!r}\n"
            f"  node:   {left.status_code} {one[around].decode(errors='replace')}\n"
            f"  miroir: {right.status_code} {other[around].decode(errors='replace')}"
        )


def _create(api: Api, uid: str) -> None:
    """Nodes that have just started on a busy machine may be out of sight for a moment: 503, and to be sent again."""
    answers: list[httpx.Response] = []

    def accepted() -> bool:
        answers.append(api.request("POST", "/indexes", json={"uid": uid, "primaryKey": "id"}))
        return answers[-1].status_code != 503

    wait_until(accepted, 30, "the index taken")
    api.wait_task(api.expect(answers[-1]))


def timeless(response: httpx.Response) -> bytes:
    """The body with no time in it."""
    return _TIME.sub(b'"processingTimeMs":0', response.content)


def assert_none(differences: Sequence[str | None]) -> None:
    """Fail with the first few differences."""
    found = [difference for difference in differences if difference is not None]
    assert not found, f"{len(found)} of {len(differences)} differ:\n" + "\n".join(found[:5])
