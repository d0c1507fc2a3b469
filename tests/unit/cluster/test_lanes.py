"""Lanes: one after the other, in the order of joining, whoever gives up on the way."""

from __future__ import annotations

from collections import deque
from random import Random

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.cluster.lanes import Lanes, Place

_LANES = ("a", "b")
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from(_LANES)),
        st.tuples(st.just("leave"), st.sampled_from(_LANES)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("leave early"), st.integers(0, 30)),
    ),
    max_size=40,
)


class _Visitor:
    """Waits for its turn, then stays until it is let go."""

    def __init__(self, lane: str, place: Place) -> None:
        self.lane = lane
        self.place = place
        self.scope = trio.CancelScope()
        self.has_turn = False
        self.let_go = trio.Event()

    async def visit(self) -> None:
        with self.scope:
            try:
                await self.place.turn()
                self.has_turn = True
                await self.let_go.wait()
            finally:
                self.place.leave()


async def _follow(steps: list[tuple[str, object]]) -> None:
    lanes = Lanes()
    everybody: list[_Visitor] = []
    queues: dict[str, deque[_Visitor]] = {lane: deque() for lane in _LANES}

    async def check() -> None:
        await trio.testing.wait_all_tasks_blocked()
        for queue in queues.values():
            # Exactly the first has its turn: nobody overtakes, and no wake-up is lost.
            assert [visitor.has_turn for visitor in queue] == [at == 0 for at in range(len(queue))]

    async with trio.open_nursery() as nursery:
        for step, argument in steps:
            if step == "join":
                lane = str(argument)
                visitor = _Visitor(lane, lanes.join("node", lane))
                everybody.append(visitor)
                queues[lane].append(visitor)
                nursery.start_soon(visitor.visit)
            elif step == "leave":
                queue = queues[str(argument)]
                if queue:
                    queue.popleft().let_go.set()
            elif everybody:
                visitor = everybody[int(str(argument)) % len(everybody)]
                if visitor in queues[visitor.lane]:
                    queues[visitor.lane].remove(visitor)
                if step == "leave early":
                    visitor.place.leave()
                    visitor.place.leave()
                visitor.scope.cancel()
            await check()
        for queue in queues.values():
            while queue:
                queue.popleft().let_go.set()
                await check()
    with trio.fail_after(60):
        for lane in _LANES:
            await lanes.join("node", lane).turn()  # nobody was left behind in it


@settings(deadline=None, max_examples=60)
@given(_STEPS)
def test_any_order_of_joining_and_leaving(steps: list[tuple[str, object]]) -> None:
    trio.run(_follow, steps)


async def test_several_leave_in_one_instant() -> None:
    """First, second and fourth at once, with no checkpoint between: the third must still be woken."""
    lanes = Lanes()
    places = [lanes.join("n", "i") for _ in range(4)]
    woken = trio.Event()

    async def third() -> None:
        await places[2].turn()
        woken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(third)
        await trio.testing.wait_all_tasks_blocked()
        assert not woken.is_set()
        for gone in (3, 1, 0):
            places[gone].leave()
        with trio.fail_after(60):
            await woken.wait()


async def test_lanes_of_other_nodes_and_indexes_do_not_wait() -> None:
    lanes = Lanes()
    lanes.join("n", "i")
    with trio.fail_after(60):
        await lanes.join("m", "i").turn()
        await lanes.join("n", "j").turn()


async def test_an_index_that_is_gone() -> None:
    """Only lanes without a place in them are forgotten: whoever still waits keeps its order."""
    lanes = Lanes()
    first, other = lanes.join("n", "i"), lanes.join("m", "i")
    other.leave()
    lanes.forget("i")
    second = lanes.join("n", "i")
    reached: list[str] = []

    async def wait() -> None:
        await second.turn()
        reached.append("second")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert reached == []
        first.leave()
    assert reached == ["second"]


async def test_joining_all_lanes_at_once_never_deadlocks() -> None:
    """Writers with random sets of lanes and pauses of random length; every lane sees them in their order."""
    random = Random(7)
    lanes = Lanes()
    seen: dict[str, list[int]] = {node: [] for node in "abcd"}

    async def part(number: int, node: str, place: Place) -> None:
        await place.turn()
        seen[node].append(number)
        for _ in range(random.randrange(4)):
            await trio.lowlevel.checkpoint()
        place.leave()

    async def write(number: int) -> None:
        chosen = random.sample("abcd", random.randint(1, 4))
        places = {node: lanes.join(node, "i") for node in chosen}
        async with trio.open_nursery() as nursery:
            for node, place in places.items():
                nursery.start_soon(part, number, node, place)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            order: list[int] = []

            async def start(number: int) -> None:
                order.append(number)
                await write(number)

            for number in range(80):
                nursery.start_soon(start, number)
    rank = {number: at for at, number in enumerate(order)}
    assert sum(map(len, seen.values())) >= 80
    for visits in seen.values():
        assert [rank[number] for number in visits] == sorted(rank[number] for number in visits)
