"""The backends that the suite runs against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from miroir.store import Store
from tests.unit.store.places import Place, SqlitePlace
from tests.unit.store.samples import Clock


@pytest.fixture(params=["sqlite"])
def new_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Place]:
    """Makes empty places, of one backend after the other."""
    assert request.param == "sqlite"
    directory = tmp_path_factory.mktemp("stores")
    numbers = count()
    return lambda: SqlitePlace(directory / f"{next(numbers)}" / "store.db")


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    return new_place()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(place: Place, clock: Clock) -> AsyncIterator[Store]:
    opened = await place.open(clock)
    yield opened
    await opened.aclose()
