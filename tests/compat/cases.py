"""Generated requests over every parameter of a search, and over what else reads documents in some order.

The same seed gives the same requests. Each is labelled with the features it uses: those are the rows of the report.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.compat import corpus
from tests.compat.variants import CUSTOM, DIMENSIONS_OF, HIDDEN, HURRIED, LANGUAGES, PLAIN, STRICT, VECTORS, Variant

Body = dict[str, Any]

_VARIANTS: Final = (PLAIN, PLAIN, PLAIN, PLAIN, HIDDEN, HIDDEN, CUSTOM, CUSTOM, STRICT, LANGUAGES, VECTORS, HURRIED)
_KINDS: Final = (
    ("search",) * 70
    + ("pages",) * 8
    + ("facet-search",) * 6
    + ("semantic",) * 4
    + ("similar",) * 3
    + ("list",) * 8
    + ("bad",) * 5
)
_FIELDS: Final = (
    "id",
    "sku",
    "title",
    "description",
    "brand",
    "spelling",
    "price",
    "mixed",
    "tags",
    "specs",
    "specs.color",
    "specs.size.w",
    "variants",
    "variants.size",
    "variants.colors",
    "group",
    "foreign",
    "foreign.ja",
    "french",
    "maybe",
    "_geo",
    "nope",
    "number",
    "specs.nope",
    "title.nope",
    "*",
)
_TEXTS: Final = (
    "title",
    "description",
    "french",
    "german",
    "foreign.ja",
    "foreign",
    "specs",
    "specs.color",
    "variants.colors",
    "tags",
    "brand",
    "*",
    "variants",
    "group",
)
_ATTRIBUTES: Final = (
    "brand",
    "spelling",
    "price",
    "rating",
    "mixed",
    "tags",
    "specs.color",
    "specs.weight",
    "variants.size",
    "group",
    "year",
    "flag",
    "maybe",
    "_geo",
    "foreign.ja",
)
"""What is filtered and faceted by, as far as the variant allows it."""
_DISTINCTS: Final = (
    "group",
    "group",
    "brand",
    "spelling",
    "mixed",
    "year",
    "year",
    "specs.color",
    "rating",
    "specs.weight",
    "flag",
    "maybe",
    "tags",
)


@dataclass(frozen=True)
class Case:
    """One request, the same for both sides; `pages`: a search whose pages are put together on the right."""

    number: int
    variant: Variant
    kind: str
    method: str
    route: str
    """The path below the index: `search`, `facet-search`, `similar`, `documents`, `documents/fetch`."""
    body: Body
    """As POST has it. A GET carries the same as parameters."""
    features: frozenset[str] = field(default_factory=frozenset)
    page: int = 0
    """How many hits a page has, where pages are put together."""

    def parameters(self, body: Body) -> dict[str, str]:
        """A body as a GET's parameters."""
        return dict(_parameters(body))

    def __str__(self) -> str:
        return (
            f"#{self.number} {self.method} {self.variant.name}/{self.route} {json.dumps(self.body, ensure_ascii=False)}"
        )


def _parameters(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        if name == "hybrid" and isinstance(value, Mapping):
            yield "hybridEmbedder", str(value.get("embedder", ""))
            if "semanticRatio" in value:
                yield "hybridSemanticRatio", str(value["semanticRatio"])
        elif name == "filter" and isinstance(value, list):
            yield name, json.dumps(value, ensure_ascii=False)
        elif isinstance(value, list):
            yield name, ",".join(map(str, value))
        elif isinstance(value, bool):
            yield name, "true" if value else "false"
        elif value is not None:
            yield name, str(value)


def cases(seed: int, count: int, documents: Sequence[corpus.Document], *, limit: int | None = None) -> Iterator[Case]:
    """`count` requests. `limit`: what searches by offset and limit ask for that would say nothing of it."""
    maker = _Maker(random.Random(seed), documents)
    for number in range(count):
        case = maker.case(number)
        if limit is not None and case.kind == "search" and not case.body.keys() & {"limit", "page", "hitsPerPage"}:
            case = replace(case, body={**case.body, "limit": limit})
        yield case


class _Maker:
    """Draws requests. Every method that adds a parameter labels it."""

    def __init__(self, chance: random.Random, documents: Sequence[corpus.Document]) -> None:
        self._chance = chance
        self._documents = documents
        self._features: set[str] = set()

    def case(self, number: int) -> Case:
        chance = self._chance
        self._features = set()
        kind = chance.choice(_KINDS)
        variant = VECTORS if kind in ("similar", "semantic") else chance.choice(_VARIANTS)
        method, route, page = "POST", kind, 0
        if kind == "search":
            body = self._search(variant)
            method, route = chance.choice(("POST", "POST", "POST", "GET")), "search"
        elif kind == "pages":
            body, route = self._long_search(variant), "search"
            page = chance.choice((7, 10, 20))
            self._label("pages put together")
        elif kind == "facet-search":
            body = self._facet_search(variant)
            self._label("facet search")
        elif kind == "semantic":
            body, route = self._semantic(), "search"
        elif kind == "similar":
            body = self._similar()
            method = chance.choice(("POST", "GET"))
            self._label("similar")
        elif kind == "list":
            body = self._list(variant)
            method, route = chance.choice((("POST", "documents/fetch"), ("GET", "documents")))
            self._label(f"{method} {route}")
        else:
            body, route = self._bad(variant)
            method = chance.choice(("POST", "GET")) if route != "facet-search" else "POST"
            if route == "documents" and method == "POST":
                route = "documents/fetch"
            self._label("malformed")
        if route == "search":
            self._label("POST search" if method == "POST" else "GET search")
            self._label(f"index: {variant.name}")
        return Case(number, variant, kind, method, route, body, frozenset(self._features), page)

    def _label(self, feature: str) -> None:
        self._features.add(feature)

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _some(self, values: Sequence[Any], most: int) -> list[Any]:
        return self._chance.sample(list(values), self._chance.randint(1, min(most, len(values))))

    # -- searches --

    def _search(self, variant: Variant) -> Body:
        body: Body = {}
        self._query(body, variant, 0.8)
        self._candidates(body, variant)
        self._window(body, variant)
        self._display(body)
        if variant is VECTORS and self._happens(0.3):
            body["vector"] = self._near()
            body["hybrid"] = {"embedder": "manual", "semanticRatio": 0}
            self._label("hybrid: keyword only")
        return body

    def _long_search(self, variant: Variant) -> Body:
        body: Body = {}
        self._query(body, variant, 0.7)
        self._candidates(body, variant)
        body.pop("rankingScoreThreshold", None)
        return body

    def _candidates(self, body: Body, variant: Variant) -> None:
        """What is found and in what order, the query aside."""
        if self._happens(0.35):
            self._label("filter")
            body["filter"] = self._filter(variant)
        if self._happens(0.3):
            self._sort(body, variant)
        names = [name for name in _DISTINCTS if _allowed(name, variant)]
        if names and self._happens(0.12):
            self._label("distinct (parameter)")
            body["distinct"] = self._chance.choice(names)
        if variant is HIDDEN and "distinct" not in body:
            self._label("distinct (setting)")
        if body.get("q") and self._happens(0.08):
            self._label("rankingScoreThreshold")
            body["rankingScoreThreshold"] = self._chance.choice((0, 0.2, 0.5, 0.8, 0.95, 1.0))

    def _query(self, body: Body, variant: Variant, probability: float) -> None:
        chance = self._chance
        if not self._happens(probability):
            if self._happens(0.3):
                body["q"] = chance.choice(("", " ", None))
            self._label("no query")
            return
        style = chance.random()
        if variant is LANGUAGES or style < 0.12:
            body["q"] = self._foreign()
            self._label("other languages")
        elif style < 0.24:
            words = self._words(chance.randint(1, 2))
            body["q"] = " ".join([f'"{" ".join(words)}"', *self._words(chance.randint(0, 2))])
            self._label("phrase")
        elif style < 0.32:
            negated = self._words(1)[0] if self._happens(0.7) else f'"{" ".join(self._words(2))}"'
            body["q"] = " ".join([*self._words(chance.randint(0, 2)), f"-{negated}"])
            self._label("negation")
        elif style < 0.5:
            words = self._words(chance.randint(1, 3))
            at = chance.randrange(len(words))
            words[at] = self._misspelt(words[at])
            body["q"] = " ".join(words)
            self._label("typo")
        elif style < 0.64:
            words = self._words(chance.randint(1, 3))
            words[-1] = words[-1][: chance.randint(1, max(1, len(words[-1]) - 1))]
            body["q"] = " ".join(words)
            self._label("prefix")
        elif style < 0.72:
            body["q"] = " ".join(self._words(chance.randint(6, 14)))
            self._label("long query")
        elif style < 0.78:
            body["q"] = chance.choice(
                (
                    "sun flower",
                    "rain coat",
                    "bookshelf teapot",
                    "foot ball",
                    "keyboard",
                    "note book pad",
                    "head-set",
                    "moonlight",
                    "bicyclekeyboard",
                    "redshoe",
                    "couch",
                    "nyc",
                    "bike",
                    "J. R. R.",
                    "red-green",
                    "10",
                    "3 pcs",
                    "true",
                    "A-00012",
                    "-",
                    "&",
                    "  shoe  ",
                    "12345678901",
                    "19.99",
                    "e",
                    "the",
                    "for the",
                )
            )
            self._label("split, joined and odd words")
        else:
            body["q"] = " ".join(self._words(chance.randint(1, 3)))
            self._label("plain words")
        if self._happens(0.25):
            body["matchingStrategy"] = chance.choice(("last", "last", "all", "all", "all", "frequency"))
            self._label(f"matchingStrategy: {body['matchingStrategy']}")
        if self._happens(0.12):
            searchable = variant.settings.get("searchableAttributes", _TEXTS)
            body["attributesToSearchOn"] = self._some(searchable, 3)
            self._label("attributesToSearchOn")
        if self._happens(0.6 if variant is LANGUAGES else 0.04):
            body["locales"] = self._some(("jpn", "cmn", "eng", "fra", "deu", "ara", "ja", "fr"), 2)
            self._label("locales")

    def _words(self, count: int) -> list[str]:
        pool = (
            *corpus.NOUNS,
            *corpus.NOUNS,
            *corpus.ADJECTIVES,
            *corpus.FILLERS[:6],
            *corpus.FRENCH[:3],
            *corpus.GERMAN[:4],
        )
        return [self._chance.choice(pool) for _ in range(count)]

    def _foreign(self) -> str:
        chance = self._chance
        texts = (
            corpus.JAPANESE,
            corpus.CHINESE,
            corpus.KOREAN,
            corpus.ARABIC,
            corpus.HEBREW,
            corpus.THAI,
            corpus.CYRILLIC,
            corpus.FRENCH,
            corpus.GERMAN,
        )
        text = chance.choice(chance.choice(texts))
        style = chance.random()
        if style < 0.3:
            return text[: chance.randint(1, len(text))]
        if style < 0.45:
            return f"{text} {self._words(1)[0]}"
        if style < 0.55:
            return text.upper()
        return text

    def _misspelt(self, word: str) -> str:
        chance = self._chance
        for _ in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(word)) if word else 0
            letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
            style = chance.random()
            if style < 0.3:
                word = word[:at] + letter + word[at + 1 :]
            elif style < 0.55:
                word = word[:at] + word[at + 1 :]
            elif style < 0.8:
                word = word[:at] + letter + word[at:]
            else:
                word = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
        return word or "x"

    # -- filters --

    def _filter(self, variant: Variant) -> Any:
        chance = self._chance
        style = chance.random()
        if style < 0.05:
            return chance.choice(("", [], "  ", [[]]))
        if style < 0.35:
            return self._comparison(variant)
        if style < 0.55:
            return f"{self._comparison(variant)} {chance.choice(('AND', 'OR'))} {self._comparison(variant)}"
        if style < 0.65:
            return f"NOT {self._comparison(variant)}"
        if style < 0.75:
            return f"({self._comparison(variant)} OR {self._comparison(variant)}) AND NOT ({self._comparison(variant)})"
        parts: list[Any] = [self._comparison(variant) for _ in range(chance.randint(1, 3))]
        if self._happens(0.5):
            parts.append([self._comparison(variant) for _ in range(chance.randint(1, 3))])
        return parts

    def _comparison(self, variant: Variant) -> str:
        chance = self._chance
        names = [name for name in (*_ATTRIBUTES, "specs.size.w", "variants.stock") if _allowed(name, variant)]
        name = chance.choice(names)
        if name == "_geo":
            self._label("filter: geo")
            lat, lng = round(chance.uniform(40, 50), 1), round(chance.uniform(-5, 15), 1)
            if self._happens(0.5):
                return f"_geoRadius({lat}, {lng}, {chance.choice((0, 1000, 150000, 400000.5))})"
            return f"_geoBoundingBox([{lat + 2}, {lng + 3}], [{lat - 2}, {lng - 4}])"
        compares = name not in ("brand", "tags") or variant is not CUSTOM
        equals = name != "price" or variant is not CUSTOM
        operators = ["EXISTS", "NOT EXISTS", "IS NULL", "IS NOT NULL", "IS EMPTY", "IS NOT EMPTY"]
        operators += ["=", "=", "=", "!=", "IN", "NOT IN"] * equals
        operators += [">", ">=", "<", "<=", "TO"] * compares
        operators += ["CONTAINS", "NOT CONTAINS", "STARTS WITH", "NOT STARTS WITH"] * self._happens(0.3)
        operator = chance.choice(operators)
        self._label(f"filter: {operator.removeprefix('NOT ').replace('IS NOT', 'IS')}")
        if operator.endswith(("EXISTS", "NULL", "EMPTY")):
            return f"{name} {operator}"
        if operator.endswith("IN"):
            return f"{name} {operator} [{', '.join(self._value(name) for _ in range(chance.randint(0, 4)))}]"
        if operator == "TO":
            low = chance.choice((-5, 0, 1, 2.5, 10, 1999))
            return f"{name} {low} TO {low + chance.choice((0, 1, 15, 2000))}"
        return f"{name} {operator} {self._value(name)}"

    def _value(self, name: str) -> str:
        values = self._drawn(name)
        return json.dumps(self._chance.choice(values), ensure_ascii=False) if values else '"x"'

    def _drawn(self, name: str) -> list[str]:
        """Texts of a few values that documents have there."""
        from miroir.search.distinct import leaves

        found = [leaf for document in self._chance.sample(self._documents, 4) for leaf in leaves(document, name)]
        return [str(leaf).lower() if isinstance(leaf, bool) else str(leaf) for leaf in found]

    # -- order --

    def _sort(self, body: Body, variant: Variant) -> None:
        chance = self._chance
        names = []
        for name in variant.sortable:
            names += {
                "specs.size": ["specs.size.w", "specs.size"],
                "_geo": ["_geoPoint(45, 5)", "_geoPoint(41.5,-2.25)"],
            }.get(name, [name])
        body["sort"] = [f"{name}:{chance.choice(('asc', 'desc'))}" for name in self._some(names, 3)]
        self._label("sort")
        for rule in body["sort"]:
            name = rule.rpartition(":")[0]
            if name.startswith("_geoPoint"):
                self._label("sort: geo")
            elif name in ("mixed", "spelling", "specs.weight"):
                self._label("sort: mixed types")
            elif name in ("tags", "variants.stock"):
                self._label("sort: arrays")

    # -- window and display --

    def _window(self, body: Body, variant: Variant) -> None:
        chance = self._chance
        style = chance.random()
        most = 120 if variant is HIDDEN else 1000
        if style < 0.25:
            self._label("offset and limit")
            if self._happens(0.8):
                body["limit"] = chance.choice((0, 1, 5, 50, most, most + 7, 5000))
            if self._happens(0.7):
                body["offset"] = chance.choice((0, 3, 40, most - 10, most, 2000))
        elif style < 0.5:
            self._label("page and hitsPerPage")
            if self._happens(0.8):
                body["page"] = chance.choice((0, 1, 1, 2, 7, 300))
            if self._happens(0.8) or "page" not in body:
                body["hitsPerPage"] = chance.choice((0, 1, 10, 60, 2000))
            if self._happens(0.1):
                body["limit"] = 3
        if self._happens(0.3):
            self._facets(body, variant)

    def _facets(self, body: Body, variant: Variant) -> None:
        names = [name for name in (*_ATTRIBUTES, "specs", "variants") if _allowed(name, variant)]
        body["facets"] = self._chance.choice((["*"], ["*"], [], self._some(names, 4), self._some(names, 2)))
        if self._happens(0.05):
            body["facets"] = [*body["facets"], "*"]
        self._label('facets: ["*"]' if "*" in body["facets"] else "facets")

    def _display(self, body: Body) -> None:
        chance = self._chance
        if self._happens(0.3):
            body["attributesToRetrieve"] = chance.choice((["*"], [], self._some(_FIELDS, 5), self._some(_FIELDS, 3)))
            self._label("attributesToRetrieve")
        if self._happens(0.2):
            body["attributesToHighlight"] = chance.choice((["*"], self._some(_FIELDS, 4), self._some(_TEXTS, 3)))
            self._label("attributesToHighlight")
            if self._happens(0.4):
                body["highlightPreTag"], body["highlightPostTag"] = chance.choice(
                    (("<b>", "</b>"), ("[", "]"), ("", ""), ('"', "\\"))
                )
        if self._happens(0.15):
            body["attributesToCrop"] = chance.choice(
                (
                    ["*"],
                    ["*:3", "title"],
                    ["description:4", "title:2", "specs:1"],
                    ["description"],
                    ["variants.colors:2", "specs.color:1"],
                )
            )
            self._label("attributesToCrop")
            if self._happens(0.5):
                body["cropLength"] = chance.choice((0, 1, 3, 8, 30))
            if self._happens(0.3):
                body["cropMarker"] = chance.choice(("", "[…]", "***"))
        for flag, probability in (
            ("showRankingScore", 0.2),
            ("showRankingScoreDetails", 0.2),
            ("showMatchesPosition", 0.2),
            ("retrieveVectors", 0.05),
        ):
            if self._happens(probability):
                body[flag] = chance.choice((True, True, True, False))
                self._label(flag)

    def _semantic(self) -> Body:
        """A search in which vectors count: nothing that would keep it from being compared with brute force."""
        chance = self._chance
        embedder = self._embedder()
        vector = self._near()[: DIMENSIONS_OF[embedder]]
        body: Body = {"vector": vector, "showRankingScoreDetails": True}
        ratio = chance.choice((0.3, 0.5, 0.8, 1, 1))
        body["hybrid"] = {"embedder": embedder, "semanticRatio": ratio}
        if ratio < 1:
            body["q"] = " ".join(self._words(chance.randint(1, 2)))
        if self._happens(0.3):
            body["filter"] = f"rating >= {chance.randint(1, 4)}"
        if self._happens(0.4):
            body["limit"] = chance.choice((1, 5, 40))
        self._label("vector search" if ratio == 1 else "hybrid search")
        self._label(f"embedder: {embedder}")
        return body

    def _embedder(self) -> str:
        return self._chance.choice(("manual", "manual", "bits", "short"))

    def _near(self) -> list[float]:
        """A vector close to some document's."""
        while True:
            vector = self._chance.choice(self._documents)["_vectors"]["manual"]
            if vector is not None:
                return [round(part + self._chance.gauss(0, 0.1), 4) for part in vector]

    # -- the others --

    def _facet_search(self, variant: Variant) -> Body:
        chance = self._chance
        names = [
            name
            for name in (
                "brand",
                "spelling",
                "mixed",
                "tags",
                "specs.color",
                "variants.size",
                "group",
                "foreign.ja",
                "rating",
                "id",
                "nope",
            )
            if _allowed(name, variant) or self._happens(0.1)
        ]
        name = chance.choice(names or ["brand"])
        body: Body = {"facetName": name}
        if self._happens(0.7):
            value = chance.choice(self._drawn(name) or ["a"])
            body["facetQuery"] = chance.choice((value, value[:1], value[:2], value.upper(), self._misspelt(value), ""))
        if self._happens(0.3):
            body["filter"] = self._filter(variant)
        if self._happens(0.3):
            body["q"] = " ".join(self._words(chance.randint(1, 2)))
        if self._happens(0.2):
            body["matchingStrategy"] = chance.choice(("last", "all"))
        if self._happens(0.1):
            body["attributesToSearchOn"] = ["title"]
        if self._happens(0.1):
            body["rankingScoreThreshold"] = 0.5
        if self._happens(0.3):
            body["exhaustiveFacetCount"] = chance.choice((True, False))
        return body

    def _similar(self) -> Body:
        chance = self._chance
        asked = chance.choice([document for document in self._documents if document["_vectors"]["manual"] is not None])
        body: Body = {"id": asked["id"], "embedder": self._embedder()}
        self._label(f"embedder: {body['embedder']}")
        if self._happens(0.4):
            body["limit"] = chance.choice((1, 5, 40))
        if self._happens(0.3):
            body["filter"] = f"rating >= {chance.randint(1, 4)}"
        if self._happens(0.3):
            body["attributesToRetrieve"] = ["id", "title", "brand"]
        if self._happens(0.3):
            body["showRankingScore"] = True
        return body

    def _list(self, variant: Variant) -> Body:
        chance = self._chance
        body: Body = {}
        if self._happens(0.5):
            body["offset"] = chance.choice((0, 5, 100, 700, 5000))
        if self._happens(0.6):
            body["limit"] = chance.choice((0, 1, 7, 50, 3000))
        if self._happens(0.4):
            body["fields"] = self._some(("id", "sku", "title", "specs", "specs.color", "_geo", "nope"), 3)
        if self._happens(0.4):
            body["filter"] = self._filter(variant)
            self._label("listing: filter")
        if self._happens(0.4):
            # An offset into a list by several members, of which some are missing, is an approximation of its own.
            self._sort(body, variant)
            if body.get("offset") and len(body["sort"]) > 1:
                body["sort"] = body["sort"][:1]
            self._features.difference_update({"sort", "sort: geo", "sort: mixed types", "sort: arrays"})
            self._label("listing: sort")
        if self._happens(0.15):
            key = variant.primary_key
            body["ids"] = [document[key] for document in self._chance.sample(self._documents, 5)] + ["unknown"]
            self._label("listing: ids")
        if self._happens(0.1):
            body["retrieveVectors"] = True
        return body

    def _bad(self, variant: Variant) -> tuple[Body, str]:
        chance = self._chance
        name, value = chance.choice(
            (
                ("limit", "a"),
                ("limit", -1),
                ("offset", 1.5),
                ("offset", None),
                ("page", "x"),
                ("hitsPerPage", -3),
                ("q", 3),
                ("q", ["a"]),
                ("filter", 3),
                ("filter", ["rating = 1", 3]),
                ("filter", "rating = = 2"),
                ("filter", "nope = 2"),
                ("filter", "rating >"),
                ("filter", "_geoRadius(1, 2)"),
                ("filter", "_geoRadius(100, 2, 3)"),
                ("filter", "_geoBoundingBox([1, 2], [3, 4])"),
                ("filter", "_geo = 3"),
                ("filter", "rating 1 TO"),
                ("filter", "(rating = 1"),
                ("filter", "rating = 1 AND"),
                ("filter", "title EXISTS"),
                ("filter", {"a": 1}),
                ("filter", "brand CONTAINS a"),
                ("filter", "rating = 1 AND _geoPoint(1, 2)"),
                ("filter", "_miroir_shard = 1"),
                ("sort", "price"),
                ("sort", ["price"]),
                ("sort", ["nope:asc"]),
                ("sort", ["price:up"]),
                ("sort", [3]),
                ("sort", ["_geoPoint(1):asc"]),
                ("sort", ["_geoRadius(1,2,3):asc"]),
                ("sort", ["_geoPoint(200, 2):asc"]),
                ("facets", "brand"),
                ("facets", ["nope"]),
                ("facets", ["id", "title"]),
                ("facets", [1]),
                ("distinct", "title"),
                ("distinct", 3),
                ("matchingStrategy", "most"),
                ("attributesToSearchOn", ["nope"]),
                ("attributesToSearchOn", "title"),
                ("locales", ["xx"]),
                ("locales", "eng"),
                ("rankingScoreThreshold", 2),
                ("rankingScoreThreshold", "a"),
                ("showRankingScore", "yes"),
                ("showRankingScoreDetails", 1),
                ("showMatchesPosition", None),
                ("cropLength", -1),
                ("attributesToRetrieve", "title"),
                ("attributesToRetrieve", [3]),
                ("attributesToHighlight", [1]),
                ("attributesToCrop", ["title:x"]),
                ("attributesToCrop", {"a": 1}),
                ("highlightPreTag", 3),
                ("nonsense", 1),
                ("vector", [1, 2]),
                ("vector", "a"),
                ("hybrid", {"embedder": "nope"}),
                ("hybrid", {}),
                ("retrieveVectors", "no"),
                ("hybrid", {"embedder": "manual", "semanticRatio": 2}),
                ("limit", 2**63),
                ("limit", 2**64),
                ("id", 3),
                ("page", 2**40),
                ("offset", 2**62),
                ("showPerformanceDetails", True),
                ("useNetwork", True),
                ("media", {}),
                ("personalize", {}),
                ("limit", True),
                ("matchingStrategy", None),
                ("filter", None),
                ("q", None),
            )
        )
        route = chance.choice(("search", "search", "search", "documents", "facet-search"))
        body: Body = {name: value}
        if route == "facet-search" and self._happens(0.7):
            body["facetName"] = chance.choice(("brand", "nope", 3, None, "_miroir_seq"))
        if self._happens(0.3):
            body["limit"] = body.get("limit", 3)
        if self._happens(0.1):
            body["sort"] = body.get("sort", ["nope:desc"])
        return body, route


def _allowed(name: str, variant: Variant) -> bool:
    """Whether the variant lets queries filter by the attribute or facet by it."""
    for pattern in variant.filterable:
        if (
            name == pattern
            or name.startswith(f"{pattern}.")
            or (pattern.endswith("*") and name.startswith(pattern[:-1]))
        ):
            return True
    return False
