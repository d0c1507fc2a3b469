"""Searches side by side: in order, with their errors, within their bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from miroir.errors import ApiError, node_error
from miroir.search import Bounds, side_by_side


async def after(seconds: float, answer: str) -> str:
    await trio.sleep(seconds)
    return answer


async def refuse() -> str:
    raise node_error(400, "bad_request", "no")


def codes(outcomes: list[str | ApiError]) -> list[str]:
    return [outcome.code if isinstance(outcome, ApiError) else outcome for outcome in outcomes]


async def test_they_run_at_the_same_time_and_stay_in_order(autojump_clock: trio.testing.MockClock) -> None:
    searches: list[Callable[[], Awaitable[str]]] = [partial(after, 3, "slow"), refuse, partial(after, 1, "fast")]
    started = trio.current_time()
    assert codes(await side_by_side(searches, Bounds(10, 10))) == ["slow", "bad_request", "fast"]
    assert trio.current_time() - started == pytest.approx(3)


@pytest.mark.parametrize(
    ("bounds", "found"),
    [(Bounds(2, 10), ["fast", "miroir_timeout"]), (Bounds(10, 2), ["fast", "miroir_timeout"])],
)
async def test_what_is_too_slow_is_an_error_of_its_own(
    autojump_clock: trio.testing.MockClock, bounds: Bounds, found: list[str]
) -> None:
    searches = [partial(after, 1, "fast"), partial(after, 5, "slow")]
    assert codes(await side_by_side(searches, bounds)) == found


async def test_one_alone_has_its_bounds_too(autojump_clock: trio.testing.MockClock) -> None:
    assert codes(await side_by_side([partial(after, 5, "slow")], Bounds(10, 2))) == ["miroir_timeout"]
    assert await side_by_side([], Bounds(1, 1)) == []


async def test_what_is_no_error_of_a_search_is_raised() -> None:
    async def broken() -> str:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await side_by_side([broken], Bounds(1, 1))
