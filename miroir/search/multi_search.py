"""Several searches at once: side by side, each with its own deadline, all within one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from miroir.errors import ApiError, miroir_error

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that one of several searches may take, and all of them together."""

    per_query_s: float
    total_s: float


async def side_by_side(
    searches: Sequence[Callable[[], Awaitable[Answer]]], deadlines: Deadlines
) -> list[Answer | ApiError]:
    """What became of each, in their order: its answer or its error. Other exceptions are raised."""
    outcomes: list[Answer | ApiError] = [_too_slow(deadlines.total_s) for _ in searches]

    async def run(place: int, search: Callable[[], Awaitable[Answer]]) -> None:
        outcomes[place] = _too_slow(deadlines.per_query_s)
        with trio.move_on_after(deadlines.per_query_s):
            try:
                outcomes[place] = await search()
            except ApiError as error:
                outcomes[place] = error

    with trio.move_on_after(deadlines.total_s):
        if len(searches) == 1:
            await run(0, searches[0])
        else:
            async with trio.open_nursery() as nursery:
                for place, search in enumerate(searches):
                    nursery.start_soon(run, place, search)
    return outcomes


def _too_slow(seconds: float) -> ApiError:
    return miroir_error("miroir_timeout", f"No answer within {seconds:g} s. Try again, or ask for less at once.")
