"""A product catalogue made from word lists: what `miroir dev --sample` loads, and a corpus for tests.

The same `count` and `seed` give the same documents on every machine; a longer catalogue begins with the shorter one.
Like real data it is not tidy: ratings, warehouses and specifications are missing now and then, a model is a number or
a text, a discount may be null.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from typing import Any, Final

from miroir.cli import sample_words as words

INDEX_UID: Final = "products"
PRIMARY_KEY: Final = "id"
DEFAULT_COUNT: Final = 10_000
DEFAULT_SEED: Final = 2026

SETTINGS: Final[dict[str, Any]] = {
    "searchableAttributes": [
        "name",
        "brand",
        "category",
        "tags",
        "specs.material",
        "description.en",
        "description.de",
        "description.fr",
        "sku",
    ],
    "filterableAttributes": [
        "_geo",
        "brand",
        "category",
        "categories.lvl0",
        "categories.lvl1",
        "categories.lvl2",
        "created_at",
        "discount",
        "in_stock",
        "price",
        "rating",
        "released",
        "reviews",
        "specs.color",
        "specs.material",
        "specs.size.w",
        "specs.weight",
        "stock",
        "tags",
    ],
    "sortableAttributes": ["_geo", "created_at", "name", "price", "rating", "reviews", "specs.weight", "stock"],
    "synonyms": {"headset": ["headphones"], "couch": ["sofa"], "bicycle": ["bike"], "bike": ["bicycle"]},
}
"""Index settings that let every field be used for what it is there for."""

_FIRST_DAY: Final = datetime.date(2019, 1, 1)
_DAYS: Final = 2700
_SECONDS_PER_DAY: Final = 86_400
_EPOCH: Final = datetime.date(1970, 1, 1)


def catalogue(count: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED) -> Iterator[dict[str, Any]]:
    """`count` products with ids 1 to `count`, in that order."""
    rng = random.Random(seed)
    for number in range(1, count + 1):
        yield _product(rng, number)


def _product(rng: random.Random, number: int) -> dict[str, Any]:
    shelf = rng.choice(words.SHELVES)
    kind = rng.choice(shelf.products)
    brand = rng.choice(words.BRANDS)
    series = rng.choice(words.SERIES)
    model: int | str = rng.randint(2, 990) if rng.random() < 0.7 else f"{rng.choice('ABKMRTX')}{rng.randint(1, 99)}"
    material = rng.choice(shelf.materials)
    stock = 0 if rng.random() < 0.12 else int(rng.expovariate(1 / 60)) + 1
    reviews = int(rng.paretovariate(0.9)) - 1
    released = _FIRST_DAY + datetime.timedelta(days=rng.randrange(_DAYS))
    listed = released + datetime.timedelta(days=rng.randrange(60))
    product: dict[str, Any] = {
        "id": number,
        "sku": f"{brand[:3].upper()}-{shelf.name[:2].upper()}-{number:06d}",
        "name": f"{brand} {kind[0]} {series} {model}",
        "model": model,
        "brand": brand,
        "category": shelf.name,
        "categories": {
            "lvl0": shelf.department,
            "lvl1": f"{shelf.department} > {shelf.name}",
            "lvl2": f"{shelf.department} > {shelf.name} > {kind[0]}",
        },
        "description": {
            language: _description(kind[position], texts, position)
            for texts in [_texts(rng)]
            for position, language in enumerate(words.LANGUAGES)
        },
        "price": _price(rng, *shelf.price),
        "currency": "EUR",
        "reviews": min(reviews, 12_000),
        "stock": stock,
        "in_stock": stock > 0,
        "tags": rng.sample(words.TAGS, k=rng.choices((0, 1, 2, 3, 4), weights=(10, 30, 35, 20, 5))[0]),
        "released": released.isoformat(),
        "created_at": (listed - _EPOCH).days * _SECONDS_PER_DAY + rng.randrange(_SECONDS_PER_DAY),
    }
    if reviews > 0:
        product["rating"] = round(min(5.0, max(1.0, rng.gauss(3.9, 0.7))), 1)
    if rng.random() < 0.25:
        product["discount"] = rng.choice((5, 10, 15, 20, 30, 50, None))
    if rng.random() < 0.95:
        product |= _warehouse(rng)
    if rng.random() < 0.97:
        product["specs"] = _specs(rng, shelf, material)
    return product


def _price(rng: random.Random, low: float, high: float) -> float:
    """Skewed to the cheap end, as shops are, and ending on .99, .95, .50 or .00."""
    euros = int(low + (high - low) * rng.random() ** 2.2)
    return euros + rng.choice((0.99, 0.95, 0.5, 0.0))


def _warehouse(rng: random.Random) -> dict[str, Any]:
    city, latitude, longitude = rng.choice(words.PLACES)
    return {
        "warehouse": city,
        "_geo": {
            "lat": round(latitude + rng.uniform(-0.2, 0.2), 5),
            "lng": round(longitude + rng.uniform(-0.2, 0.2), 5),
        },
    }


def _specs(rng: random.Random, shelf: words.Shelf, material: str) -> dict[str, Any]:
    light, heavy = shelf.weight_g
    specs: dict[str, Any] = {
        "material": material,
        "color": rng.choice(words.COLORS),
        "weight": int(light + (heavy - light) * rng.random() ** 2),
        "size": {"w": rng.randint(20, 1800), "h": rng.randint(10, 1200), "d": rng.randint(5, 900)},
    }
    if shelf.powered:
        specs["power"] = rng.choice((5, 12, 18, 45, 65, 120, "USB-C", "battery"))
    return specs


def _texts(rng: random.Random) -> tuple[words.Text, words.Text, words.Text, words.Text, words.Text]:
    first, second = rng.sample(words.FEATURES, k=2)
    return rng.choice(words.OPENINGS), first, second, rng.choice(words.USES), rng.choice(words.CLOSINGS)


def _description(
    kind: str, texts: tuple[words.Text, words.Text, words.Text, words.Text, words.Text], position: int
) -> str:
    opening, first, second, use, closing = (text[position] for text in texts)
    return f"{opening}. {kind}: {first}, {second}. {use}. {closing}."
