"""A run: both sides are loaded with the same indexes, then asked the same things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from tests.client import Api
from tests.compat.approximations import Knowledge, approximations_of, folded
from tests.compat.cases import Body, Case
from tests.compat.compare import Answer, differences
from tests.compat.corpus import Document
from tests.compat.federated import KIND, named
from tests.compat.variants import VARIANTS, Variant
from tests.compat.vectors import is_semantic, nearest, recall

_CONTAINS: Final = {"containsFilter": True}
_BATCHES: Final = 2
_WHOLE: Final = 60
"""How many hits are looked at page by page."""


@dataclass
class Side:
    """A server, and what its indexes are called."""

    api: Api
    prefix: str = "compat"
    _switched: bool = field(init=False, default=False)
    """Whether `containsFilter` is on because of us."""

    def uid(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def load(self, documents: Sequence[Document], variants: Sequence[Variant] = VARIANTS) -> None:
        """The indexes, made anew. All of it is enqueued before anything is waited for."""
        # Where it cannot be switched on, filters that need it are refused: by both sides, or that is a difference.
        features = self.api.request("GET", "/experimental-features")
        if features.is_success and not features.json()["containsFilter"]:
            self._switched = self.api.request("PATCH", "/experimental-features", json=_CONTAINS).is_success
        tasks = []
        size = -(-len(documents) // _BATCHES)
        for variant in variants:
            uid = self.uid(variant.name)
            if self.api.request("GET", f"/indexes/{uid}").status_code == 200:
                self.api.delete_index(uid)
            tasks.append(self.api.post("/indexes", {"uid": uid, "primaryKey": variant.primary_key}))
            tasks.append(self.api.patch(f"/indexes/{uid}/settings", variant.settings))
            fitted = [variant.fit(document) for document in documents]
            for at in range(0, len(fitted), size):
                tasks.append(self.api.post(f"/indexes/{uid}/documents", fitted[at : at + size]))
        for task in tasks:
            self.api.succeeded(task, timeout_s=180)

    def unload(self, variants: Sequence[Variant] = VARIANTS) -> None:
        """Leave the server as it was found."""
        if self._switched:
            self.api.patch("/experimental-features", dict.fromkeys(_CONTAINS, False))
            self._switched = False
        for task in [self.api.delete(f"/indexes/{self.uid(variant.name)}") for variant in variants]:
            self.api.succeeded(task)

    def ask(self, case: Case, over: Mapping[str, Any] | None = None) -> Answer:
        """The answer to a case, with other parameters in place of some."""
        path = f"/indexes/{self.uid(case.variant.name)}/{case.route}"
        body = {**case.body, **(over or {})}
        if case.kind == KIND:
            response = self.api.request("POST", f"/{case.route}", json=named(body, self.uid))
        elif case.method == "GET":
            response = self.api.request("GET", path, params=case.parameters(body))
        else:
            response = self.api.request("POST", path, json=body)
        return Answer(response.status_code, response.content)


class Verdict(Enum):
    """What came of a comparison."""

    EQUAL = "equal"
    APPROXIMATE = "approximate"
    """Different in just what the approximations may change that the case falls under."""
    DIFFERENT = "different"
    SEMANTIC = "semantic"
    """Nearest neighbours: counted by recall."""
    UNBUILT = "unbuilt"
    """Answered with 501 `miroir_not_supported`."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    case: Case
    verdict: Verdict
    same_hits: bool = True
    """The hits (results, facet hits) are equal and in the same order."""
    approximations: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    """Where they differ, a line each; what approximations allow is left out."""
    recalls: tuple[float, float] | None = None


@dataclass
class Comparison:
    """Compares a right side with a left one that holds the same documents."""

    left: Side
    right: Side
    documents: Sequence[Document]
    known: Knowledge = field(init=False)

    def __post_init__(self) -> None:
        self.known = Knowledge.of(self.documents)

    def run(self, cases: Iterable[Case]) -> Iterator[Outcome]:
        """Judge all cases."""
        return map(self.judge, cases)

    def judge(self, case: Case) -> Outcome:
        """Ask both sides and compare."""
        if case.kind == "pages":
            return self._judge_pages(case)
        left, right = self.left.ask(case), self.right.ask(case)
        if right.status == 501 and left.status != 501:
            return Outcome(case, Verdict.UNBUILT)
        if right.status == 200 and b"_miroir_" in right.body:  # in no part of it, approximate or not
            return Outcome(case, Verdict.DIFFERENT, False, where=("a stamp is shown",))
        if left.status == right.status == 200 and is_semantic(case):
            return self._judge_semantic(case, left.json(), right.json())
        return self._compared(case, left, right)

    def _compared(self, case: Case, left: Answer, right: Answer) -> Outcome:
        if left.canonical == right.canonical:
            return Outcome(case, Verdict.EQUAL, approximations=self._names(case))
        if left.status != right.status:
            line = f"status {left.status} / {right.status}: {right.body.decode()[:300]}"
            return Outcome(case, Verdict.DIFFERENT, False, self._names(case), (line,))
        one, other = left.json(), right.json()
        same_hits = all(one.get(name) == other.get(name) for name in ("hits", "results", "facetHits"))
        if left.status != 200:
            return Outcome(case, Verdict.DIFFERENT, same_hits, self._names(case), tuple(differences(one, other)))
        return self._folded(case, one, other, same_hits=same_hits)

    def _folded(self, case: Case, left: Body, right: Body, *, same_hits: bool) -> Outcome:
        applying = approximations_of(case, self.known)
        names = tuple(each.name for each in applying)
        wrong = [line for each in applying for line in each.holds(left, right)]
        where = (*wrong, *differences(folded(left, case, applying), folded(right, case, applying)))
        verdict = Verdict.APPROXIMATE if applying and not where else Verdict.DIFFERENT
        return Outcome(case, verdict, same_hits, names, where)

    def _names(self, case: Case) -> tuple[str, ...]:
        return tuple(each.name for each in approximations_of(case, self.known))

    def _judge_pages(self, case: Case) -> Outcome:
        """The right side's pages make its own long list, and that is the left side's."""
        left, right = self.left.ask(case, {"limit": _WHOLE}), self.right.ask(case, {"limit": _WHOLE})
        whole = self._compared(case, left, right)
        if right.status != 200:
            return whole
        hits = right.json()["hits"]
        torn: list[str] = []
        for how in ("offset", "page"):
            found: list[Any] = []
            for at in range(0, _WHOLE, case.page):
                found += self.right.ask(case, _window(how, at, case.page)).json()["hits"]
            torn += [f"by {how}: {line}" for line in differences(hits, found[:_WHOLE])]
        if torn:
            return Outcome(case, Verdict.DIFFERENT, False, whole.approximations, (*whole.where, *torn))
        return whole

    def _judge_semantic(self, case: Case, left: Body, right: Body) -> Outcome:
        """By recall; of hits found by their words the order among themselves, which is the left side's."""
        limit = case.body.get("limit", 20)
        where: list[str] = []
        if list(left) != list(right):
            where.append(f"members {list(left)} / {list(right)}")
        if left.get("queryVector") != right.get("queryVector"):
            where.append("queryVector")
        if case.route == "search":
            found = sum("vectorSort" in hit["_rankingScoreDetails"] for hit in right["hits"])
            if right.get("semanticHitCount") != found:
                where.append(f"semanticHitCount {right.get('semanticHitCount')} of {found}")
        if len(left["hits"]) != len(right["hits"]):
            where.append(f"{len(left['hits'])} / {len(right['hits'])} hits")
        by_words = {name: value for name, value in case.body.items() if name not in ("hybrid", "vector")}
        ratio = case.body.get("hybrid", {}).get("semanticRatio", 1) if case.route == "search" else 1
        if ratio < 1:
            ranked = [hit["id"] for hit in self.left.ask(_with_body(case, {**by_words, "limit": 1000})).json()["hits"]]
            places = [
                ranked.index(hit["id"]) for hit in right["hits"] if "vectorSort" not in hit["_rankingScoreDetails"]
            ]
            if places != sorted(places):
                where.append(f"hits found by their words are out of order: {places}")
            return Outcome(case, Verdict.DIFFERENT if where else Verdict.SEMANTIC, where=tuple(where))
        wanted = nearest(case, self.documents, limit)
        recalls = recall(left["hits"], wanted), recall(right["hits"], wanted)
        return Outcome(case, Verdict.DIFFERENT if where else Verdict.SEMANTIC, where=tuple(where), recalls=recalls)


def _window(how: str, at: int, size: int) -> Body:
    if how == "offset":
        return {"offset": at, "limit": min(size, _WHOLE - at)}
    return {"page": at // size + 1, "hitsPerPage": size}


def _with_body(case: Case, body: Body) -> Case:
    return Case(case.number, case.variant, case.kind, "POST", case.route, body)
