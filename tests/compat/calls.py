"""Generated sequences of calls on what searches do not reach: indexes, documents, settings, tasks, statistics, keys.

The same seed gives the same sequence. A path may name what differs from side to side: `{key:NAME}` is the uid of a key
that the sequence has made, `{task}` that of the last task.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

KEPT: Final = ("a", "b")
"""Indexes that keep their names, whose tasks are listed; the others are swapped and renamed."""
MOVED: Final = ("c", "d")
_COLOURS: Final = ("red", "green", "blue", "Rouge", "grün")
_TITLES: Final = ("quiet lamp", "green chair", "the old clock", "lamp and chair", "a red, red rose")

Body = Any


@dataclass(frozen=True)
class Call:
    """One request of a sequence."""

    feature: str
    """The row of the report that it counts in."""
    method: str
    path: str
    body: Body = None
    content_type: str = "application/json"
    keep: str | None = None
    """Under which name the key in the answer is kept."""
    key: str | None = None
    """With which of the keys kept it is sent; None: with the master key."""
    rules: Any = None
    """Search rules of a tenant token, made with that key; None: with the key itself."""

    def __str__(self) -> str:
        said = f"{self.method} {self.path} {self.body!r}"
        if self.key is not None:
            said += f" with key {self.key}" if self.rules is None else f" with a token of {self.key}: {self.rules}"
        return said


@dataclass
class Sequences:
    """Draws calls. `prefix` begins the names of the indexes."""

    seed: int
    prefix: str = "calls"
    _chance: random.Random = field(init=False)
    _keys: list[str] = field(init=False, default_factory=list)
    _made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    @property
    def indexes(self) -> list[str]:
        """Every name that an index may have; the last is not made at first."""
        return [f"{self.prefix}-{letter}" for letter in (*KEPT, *MOVED, "gone")]

    def draw(self, count: int) -> Iterator[Call]:
        """So many calls, and then a look at all that is left."""
        kinds: Sequence[tuple[Any, int]] = (
            (self._index, 10),
            (self._documents, 26),
            (self._settings, 16),
            (self._move, 5),
            (self._read, 24),
            (self._tasks, 8),
            (self._key, 8),
            (self._with_key, 14),
        )
        yield from (Call("indexes", "POST", "/indexes", {"uid": uid, "primaryKey": "id"}) for uid in self.indexes[:-1])
        for _ in range(count):
            (kind,) = self._chance.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
            yield kind()
        yield from self.tour()
        yield from self.final()

    def tour(self) -> Iterator[Call]:
        """Once along the routes that the drawn calls do not come to. Snapshots and batches have no like on one node."""
        uid, moved = f"{self.prefix}-{MOVED[0]}", f"{self.prefix}-gone"
        path, edit = f"/indexes/{uid}", {"editDocumentsByFunction": True}
        lines = b'{"id":1,"title":"quiet lamp","price":3}\n{"id":2,"title":"green chair","price":4}\n'
        queries = [{"indexUid": uid, "q": word} for word in ("lamp", "chair")]
        hook = {"url": "http://127.0.0.1:9/hook", "headers": {"x-one": "two"}}
        yield Call("indexes", "DELETE", path)
        yield Call("indexes", "DELETE", f"/indexes/{moved}")
        yield Call("documents written", "POST", f"{path}/documents", lines, "application/x-ndjson")
        yield Call("settings", "PATCH", f"{path}/settings", {"filterableAttributes": ["price", "title"]})
        yield Call("multi-search", "POST", "/multi-search", {"queries": queries})
        yield Call("multi-search", "POST", "/multi-search", {"federation": {"limit": 1}, "queries": queries})
        yield Call("facet search", "POST", f"{path}/facet-search", {"facetName": "title", "facetQuery": "gre"})
        yield Call("searches after writes", "GET", f"{path}/search?q=lamp&limit=3&facets=price")
        yield Call("documents edited", "POST", f"{path}/documents/edit", {"function": "doc.price = 9"})
        yield Call("experimental features", "PATCH", "/experimental-features", edit)
        yield Call("experimental features", "GET", "/experimental-features")
        yield Call(
            "documents edited", "POST", f"{path}/documents/edit", {"function": "doc.price += 5", "filter": "price = 3"}
        )
        yield Call("documents edited", "POST", f"{path}/documents/edit", {"function": "doc.("})
        yield Call("experimental features", "PATCH", "/experimental-features", dict.fromkeys(edit, False))
        yield Call("documents read", "POST", f"{path}/documents/fetch", {"ids": [2, 1]})
        yield Call("indexes", "PATCH", path, {"uid": moved})
        yield Call("indexes", "GET", path)
        yield Call("searches after writes", "POST", f"/indexes/{moved}/search", {"q": "lamp"})
        yield Call("indexes", "GET", "/indexes?limit=0")
        yield Call("tasks", "DELETE", f"/tasks?indexUids={self.prefix}-nowhere")
        yield Call("webhooks", "POST", "/webhooks", hook, keep="hook")
        yield Call("webhooks", "GET", "/webhooks/{key:hook}")
        yield Call("webhooks", "PATCH", "/webhooks/{key:hook}", {"headers": {"x-one": None, "x-three": "4"}})
        yield Call("webhooks", "DELETE", "/webhooks/{key:hook}")
        yield Call("webhooks", "GET", "/webhooks/{key:hook}")
        yield Call("dumps", "POST", "/dumps")

    def final(self) -> Iterator[Call]:
        """All that can be seen of the indexes and keys."""
        for uid in self.indexes:
            path = f"/indexes/{uid}"
            yield Call("indexes", "GET", path)
            yield Call("settings", "GET", f"{path}/settings")
            yield Call("statistics", "GET", f"{path}/stats")
            yield Call("documents read", "GET", f"{path}/documents?limit=1000")
            yield Call("searches after writes", "POST", f"{path}/search", {"limit": 1000, "facets": ["*"]})
        yield Call("statistics", "GET", "/stats")
        for letter in KEPT:
            yield Call("tasks", "GET", f"/tasks?indexUids={self.prefix}-{letter}&limit=1000")
        for name in self._keys:
            yield Call("keys", "GET", f"/keys/{{key:{name}}}")
            yield Call("keys", "DELETE", f"/keys/{{key:{name}}}")

    def _uid(self, letters: Sequence[str] = (*KEPT, *MOVED)) -> str:
        return f"{self.prefix}-{self._chance.choice([*letters, *letters, 'gone'])}"

    def _index(self) -> Call:
        uid = self._uid()
        return self._chance.choice(
            [
                Call("indexes", "POST", "/indexes", {"uid": uid, "primaryKey": self._chance.choice(["id", None])}),
                Call("indexes", "GET", f"/indexes/{uid}"),
                Call("indexes", "PATCH", f"/indexes/{uid}", {"primaryKey": "id"}),
                Call("indexes", "DELETE", f"/indexes/{self._uid(MOVED)}"),
                Call("indexes", "DELETE", f"/indexes/{self.prefix}-gone"),
            ]
        )

    def _document(self) -> dict[str, Any]:
        chance = self._chance
        document: dict[str, Any] = {"id": chance.choice([chance.randint(0, 40), f"k-{chance.randint(0, 9)}"])}
        for name, value in (
            ("title", chance.choice(_TITLES)),
            ("price", chance.choice([1, 2.5, 1e3, -4])),
            ("colour", chance.choice(_COLOURS)),
            ("tags", chance.sample(_COLOURS, 2)),
            ("deep", {"er": {"x": chance.randint(1, 3)}, "list": [{"y": 1}, {"y": "two"}]}),
            ("nothing", None),
        ):
            if chance.random() < 0.6:
                document[name] = value
        return document

    def _documents(self) -> Call:
        chance, path = self._chance, f"/indexes/{self._uid()}/documents"
        kept = f"/indexes/{self.prefix}-{KEPT[0]}/documents"  # of another key than that, for ever
        many = [self._document() for _ in range(chance.randint(1, 12))]
        keys = [document["id"] for document in many]
        csv = "id,title,price:number,fresh:boolean\n" + "".join(
            f"{key},{key}!,{chance.randint(1, 9)},true\n" for key in keys
        )
        wrong = chance.choice([{"id": "not an id"}, {"id": 1.5}, {"id": None}, {"id": [1]}, {"id": "x" * 600}])
        return chance.choice(
            [
                Call("documents written", "POST", path, many),
                Call("documents written", "POST", f"{path}?primaryKey=id", many),
                Call("documents written", "PUT", path, many),
                Call("documents written", "PUT", path, [{"id": key, "price": 7} for key in keys]),
                Call("documents written", "POST", path, [*many, wrong]),
                Call("documents written", "POST", path, []),
                Call("documents written", "POST", f"{kept}?primaryKey=sku", [{"sku": "s", **many[0]}]),
                Call("documents written", "POST", path, csv.encode(), "text/csv"),
                Call("documents deleted", "DELETE", f"{path}/{keys[0]}"),
                Call("documents deleted", "POST", f"{path}/delete-batch", keys),
                Call("documents deleted", "POST", f"{path}/delete", {"filter": self._filter()}),
                Call("documents deleted", "DELETE", path)
                if chance.random() < 0.2
                else Call("documents read", "GET", f"{path}?limit=1000"),
            ]
        )

    def _filter(self) -> Any:
        return self._chance.choice(
            [
                "price > 2",
                "colour = red",
                ["price < 3", "colour != blue"],
                "nothing IS NULL",
                "title = lamp",
                "tags EXISTS",
            ]
        )

    def _settings(self) -> Call:
        chance, path = self._chance, f"/indexes/{self._uid()}/settings"
        some: Mapping[str, Any] = {
            "filterableAttributes": chance.choice(
                [["price", "colour"], ["*"], ["tags", "nothing", "price", "colour"], []]
            ),
            "sortableAttributes": chance.choice([["price"], ["price", "title"], []]),
            "searchableAttributes": chance.choice([["title"], ["*"], ["colour", "title"]]),
            "displayedAttributes": chance.choice([["*"], ["id", "title", "price"]]),
            "stopWords": chance.choice([["the", "a"], []]),
            "synonyms": chance.choice([{"lamp": ["light"]}, {}]),
            "typoTolerance": chance.choice([{"enabled": False}, {"minWordSizeForTypos": {"oneTypo": 3}}]),
            "faceting": {"maxValuesPerFacet": chance.choice([2, 100])},
            "pagination": {"maxTotalHits": chance.choice([5, 1000])},
            "distinctAttribute": chance.choice(["colour", None]),
            "rankingRules": chance.choice([["words", "typo", "price:desc"], ["sort", "words", "exactness"]]),
            "proximityPrecision": chance.choice(["byWord", "byAttribute"]),
            "searchCutoffMs": chance.choice([1500, None]),
            "dictionary": chance.choice([["J. R. R."], []]),
        }
        names = chance.sample(sorted(some), 2)
        one = f"{path}/{''.join(f'-{letter.lower()}' if letter.isupper() else letter for letter in names[0])}"
        merged = names[0] in ("typoTolerance", "faceting", "pagination")
        return chance.choice(
            [
                Call("settings", "PATCH", path, {name: some[name] for name in names}),
                Call("settings", "PATCH", path, {names[0]: None, names[1]: some[names[1]]}),
                Call("settings", "PATCH" if merged else "PUT", one, some[names[0]]),
                Call("settings", "DELETE", one),
                Call("settings", "DELETE", path) if chance.random() < 0.3 else Call("settings", "GET", path),
                Call("settings", "GET", one),
            ]
        )

    def _move(self) -> Call:
        pair = [f"{self.prefix}-{letter}" for letter in MOVED]
        return self._chance.choice(
            [
                Call("swaps", "POST", "/swap-indexes", [{"indexes": pair}]),
                Call("swaps", "POST", "/swap-indexes", [{"indexes": [pair[0], f"{self.prefix}-gone"]}]),
                Call("swaps", "POST", "/swap-indexes", []),
            ]
        )

    def _read(self) -> Call:
        chance, path = self._chance, f"/indexes/{self._uid()}"
        return chance.choice(
            [
                Call("documents read", "GET", f"{path}/documents?limit=1000"),
                Call("documents read", "GET", f"{path}/documents?limit=1000&fields=id,price"),
                Call("documents read", "POST", f"{path}/documents/fetch", {"limit": 1000, "filter": self._filter()}),
                Call("documents read", "GET", f"{path}/documents/{chance.randint(0, 45)}"),
                Call("statistics", "GET", f"{path}/stats"),
                Call("statistics", "GET", "/stats"),
                Call("searches after writes", "POST", f"{path}/search", self._search()),
                Call("searches after writes", "POST", f"{path}/search", self._search()),
                Call("version and health", "GET", chance.choice(["/health", "/version"])),
            ]
        )

    def _search(self) -> dict[str, Any]:
        body: dict[str, Any] = {"q": self._chance.choice(["lamp", "red", "chair", "", "cha"]), "limit": 1000}
        return body | ({"filter": self._filter()} if self._chance.random() < 0.4 else {})

    def _tasks(self) -> Call:
        filters = [f"indexUids={self.prefix}-{letter}" for letter in KEPT]
        more = [
            "statuses=failed",
            "types=settingsUpdate,indexCreation",
            "reverse=true",
            "statuses=succeeded&types=documentDeletion",
        ]
        listed = f"/tasks?{self._chance.choice(filters)}&limit=1000&{self._chance.choice(more)}"
        return self._chance.choice(
            [
                Call("tasks", "GET", listed),
                Call("tasks", "GET", "/tasks/{task}"),
                Call("tasks", "POST", "/tasks/cancel?uids={task}"),
                Call("tasks", "GET", f"/tasks?indexUids={self.prefix}-nowhere"),
            ]
        )

    def _key(self) -> Call:
        chance = self._chance
        if not self._keys or chance.random() < 0.5:
            self._made += 1
            name = f"k{self._made}"
            self._keys.append(name)
            body = {
                "name": chance.choice([name, None]),
                "actions": chance.choice(
                    [["search"], ["*"], ["documents.*"], ["indexes.get", "stats.get"], ["settings.get"]]
                ),
                "indexes": chance.choice(
                    [["*"], [f"{self.prefix}-a"], [f"{self.prefix}-*"], [f"{self.prefix}-b", "other"]]
                ),
                "expiresAt": chance.choice([None, "2040-01-01T00:00:00Z", "2040-06-01"]),
            }
            return Call("keys", "POST", "/keys", body, keep=name)
        name = chance.choice(self._keys)
        return chance.choice(
            [
                Call("keys", "GET", f"/keys/{{key:{name}}}"),
                Call("keys", "PATCH", f"/keys/{{key:{name}}}", {"description": chance.choice(["told", None])}),
                Call("keys", "DELETE", f"/keys/{{key:{name}}}"),
            ]
        )

    def _with_key(self) -> Call:
        if not self._keys:
            return self._key()
        name = self._chance.choice(self._keys)
        if self._chance.random() < 0.4:
            rules = self._chance.choice(
                [["*"], [f"{self.prefix}-a"], {f"{self.prefix}-*": {"filter": "price > 2"}}, {"*": None}, {"other": {}}]
            )
            call = Call("tenant tokens", "POST", f"/indexes/{self._uid()}/search", self._search())
            return Call(call.feature, call.method, call.path, call.body, key=name, rules=rules)
        call = self._chance.choice([self._read, self._documents, self._settings, self._index])()
        return Call("calls with a key", call.method, call.path, call.body, call.content_type, key=name)
