"""Lanes: writes to one index of one node go there one after the other, in one order for all its copies.

Two writes of one key that overlap must reach every copy in the same order, or the copies differ for good (four writers
of one key without lanes: 108 of 150 keys differed between two replicas; with lanes none). So a write takes its places
in all its lanes at once, with no checkpoint between, and each place waits for the one before it.
"""

from __future__ import annotations

from collections import deque

import trio


class Place:
    """A write's place in one lane. `turn()` waits for it, `leave()` lets the next one go; leaving early is fine."""

    __slots__ = ("_lane", "_turn")

    def __init__(self, lane: _Lane) -> None:
        self._lane = lane
        self._turn = trio.Event()

    @property
    def is_first(self) -> bool:
        """Whether it is its turn."""
        return self._lane.queue[0] is self

    async def turn(self) -> None:
        """Wait until every earlier place has been left."""
        if not self.is_first:
            await self._turn.wait()

    def leave(self) -> None:
        """Done, or given up. Doing it twice is once."""
        self._lane.remove(self)

    def admit(self) -> None:
        """The lane's word that it is this place's turn."""
        self._turn.set()


class _Lane:
    __slots__ = ("queue",)

    def __init__(self) -> None:
        self.queue: deque[Place] = deque()

    def remove(self, place: Place) -> None:
        queue = self.queue
        if queue and queue[0] is place:
            queue.popleft()
            if queue:
                queue[0].admit()
        elif place in queue:
            queue.remove(place)


class Lanes:
    """All lanes of this process, by (node, physical index)."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], _Lane] = {}

    def join(self, node: str, physical_uid: str) -> Place:
        """Take the last place. Synchronous: a write joins all its lanes in one go."""
        key = (node, physical_uid)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        place = Place(lane)
        lane.queue.append(place)
        return place

    def forget(self, physical_uid: str) -> None:
        """The index is gone; its empty lanes need not be kept."""
        for key in [key for key, lane in self._lanes.items() if key[1] == physical_uid and not lane.queue]:
            del self._lanes[key]
