"""The sample catalogue: the same everywhere, varied enough to search in, and quick."""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from typing import Any

import pytest

from miroir.cli.sample import SETTINGS, catalogue


@pytest.fixture(scope="module")
def products() -> list[dict[str, Any]]:
    return list(catalogue(3000))


def test_it_is_deterministic_and_a_longer_one_begins_with_the_shorter(products: list[dict[str, Any]]) -> None:
    assert list(catalogue(3000)) == products
    assert list(catalogue(50)) == products[:50]
    assert list(catalogue(50, seed=1)) != products[:50]


def test_ten_thousand_take_seconds_not_minutes() -> None:
    before = time.process_time()
    assert sum(1 for _ in catalogue()) == 10_000
    assert time.process_time() - before < 5  # 0.4 s here; the bound is for slow machines


def test_ids_are_in_order_and_skus_unique(products: list[dict[str, Any]]) -> None:
    assert [product["id"] for product in products] == list(range(1, 3001))
    assert len({product["sku"] for product in products}) == 3000


def test_values_make_sense(products: list[dict[str, Any]]) -> None:
    for product in products:
        json.dumps(product)
        assert 0 < product["price"] < 3000
        assert product["in_stock"] == (product["stock"] > 0)
        assert ("rating" in product) == (product["reviews"] > 0)
        assert 1 <= product.get("rating", 1) <= 5
        assert set(product["description"]) == {"en", "de", "fr"}
        assert product["categories"]["lvl2"].startswith(product["categories"]["lvl1"] + " > ")
        released = datetime.date.fromisoformat(product["released"])
        created = datetime.datetime.fromtimestamp(product["created_at"], datetime.UTC).date()
        assert released <= created
        if "_geo" in product:
            assert abs(product["_geo"]["lat"]) <= 90
            assert abs(product["_geo"]["lng"]) <= 180


def test_it_is_varied_and_untidy(products: list[dict[str, Any]]) -> None:
    brands = Counter(product["brand"] for product in products)
    assert len(brands) > 20
    assert min(brands.values()) > 50
    assert {type(product["model"]) for product in products} == {int, str}
    for name in ("rating", "_geo", "specs", "discount"):
        present = sum(name in product for product in products)
        assert 0 < present < len(products), name
    assert any(product.get("discount", 0) is None for product in products)
    assert any(not product["tags"] for product in products)
    assert {type(p["specs"]["power"]) for p in products if "power" in p.get("specs", {})} == {int, str}


def test_the_settings_name_fields_that_exist(products: list[dict[str, Any]]) -> None:
    def has(product: Any, path: str) -> bool:
        for step in path.split("."):
            if step not in product:
                return False
            product = product[step]
        return True

    for setting in ("searchableAttributes", "filterableAttributes", "sortableAttributes"):
        for path in SETTINGS[setting]:
            assert any(has(product, path) for product in products), path
