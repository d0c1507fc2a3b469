"""Several searches in one request: side by side, each with its own deadline, all within one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from miroir.errors import ApiError, miroir_error

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the searches of one request may take: seconds for each and for all of them, and how many run at once."""

    per_query_s: float
    total_s: float
    at_once: int = 0
    """0: all of them."""


async def side_by_side(searches: Sequence[Callable[[], Awaitable[Answer]]], bounds: Bounds) -> list[Answer | ApiError]:
    """What became of each, in their order: its answer or its error. Other exceptions are raised.

    They are begun in their order; the seconds of one count from then.
    """
    outcomes: list[Answer | ApiError] = [_too_slow(bounds.total_s) for _ in searches]

    async def run(place: int, search: Callable[[], Awaitable[Answer]]) -> None:
        outcomes[place] = _too_slow(bounds.per_query_s)
        with trio.move_on_after(bounds.per_query_s):
            try:
                outcomes[place] = await search()
            except ApiError as error:
                outcomes[place] = error

    waiting = iter(enumerate(searches))

    async def work() -> None:
        for place, search in waiting:
            await run(place, search)

    with trio.move_on_after(bounds.total_s):
        if len(searches) == 1:
            await run(0, searches[0])
        else:
            async with trio.open_nursery() as nursery:
                for _ in range(min(bounds.at_once or len(searches), len(searches))):
                    nursery.start_soon(work)
    return outcomes


def _too_slow(seconds: float) -> ApiError:
    return miroir_error("miroir_timeout", f"No answer within {seconds:g} s. Try again, or ask for less at once.")
