"""The cluster as this process sees it: what a change touches, and that plans are told of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from miroir.cluster import Cluster, Node, Thresholds, place
from tests.unit.cluster.memory_node import MemoryNode
from tests.unit.cluster.topologies import plain, with_node


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(plain(1, 3, 2), MemoryNode, thresholds=Thresholds(3, 2), latency_half_life_ms=5000.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: cluster.node_identified("meili-0", "new life"),
        lambda cluster: cluster.node_missed("meili-1", "no answer"),
        lambda cluster: cluster.node_condemned("meili-1", "wiped"),
        lambda cluster: cluster.node_answered("meili-2"),
        lambda cluster: cluster.apply_in_sync("i", {0: frozenset({"meili-0"})}),
        lambda cluster: cluster.load_in_sync({"i": {0: frozenset({"meili-0"})}}),
        lambda cluster: cluster.forget_index("i"),
        lambda cluster: cluster.adopt(plain(1, 4, 2, version=2)),
    ],
)
def test_every_change_shows(cluster: Cluster, change: Callable[[Cluster], None]) -> None:
    """Plans are kept until the generation grows."""
    cluster.node_identified("meili-1", "life")
    cluster.node_answered("meili-1")
    before = cluster.generation
    change(cluster)
    assert cluster.generation > before


def test_what_changes_nothing_shows_nothing(cluster: Cluster) -> None:
    cluster.node_identified("meili-0", "life")
    cluster.node_answered("meili-0")
    before = cluster.generation
    cluster.node_identified("meili-0", "life")
    cluster.node_answered("meili-0")
    cluster.apply_in_sync("i", {})
    cluster.observe("meili-0", "search", 0.01, None)
    assert cluster.generation == before


def test_usable_is_known_and_answering(cluster: Cluster) -> None:
    assert cluster.usable_nodes() == frozenset()
    cluster.node_answered("meili-0")
    assert not cluster.usable("meili-0")
    cluster.node_identified("meili-0", "life")
    assert cluster.usable_nodes() == {"meili-0"}
    cluster.node_condemned("meili-0", "wiped")
    for _ in range(5):
        cluster.node_answered("meili-0")
    assert not cluster.usable("meili-0")


def test_live_traffic_is_heard(cluster: Cluster) -> None:
    cluster.node_identified("meili-0", "life")
    cluster.node_answered("meili-0")
    cluster.observe("meili-0", "search", 0.25, None)
    assert cluster.latency["meili-0"].mean_ms == pytest.approx(250.0)
    cluster.observe("meili-0", "search", 9.0, "cancelled")
    assert cluster.latency["meili-0"].mean_ms == pytest.approx(250.0)
    states = [cluster.health["meili-0"].status]
    for _ in range(3):
        cluster.observe("meili-0", "search", 9.0, "ConnectionLost")
        states.append(cluster.health["meili-0"].status)
    assert states == ["healthy", "degraded", "degraded", "failed"]


def test_probes_are_judged_by_the_prober_alone(cluster: Cluster) -> None:
    cluster.node_answered("meili-0")
    cluster.observe("meili-0", "probe", 9.0, "ConnectionLost")
    assert cluster.health["meili-0"].status == "healthy"


async def test_a_broken_connection_is_a_suspicion(cluster: Cluster) -> None:
    """It lasts until the disk is identified; every waiter goes on then, and the prober hears of it once."""
    cluster.node_identified("meili-0", "life")
    await cluster.confirmed("meili-0")
    cluster.observe("meili-0", "search", 9.0, "ConnectionLost")
    cluster.observe("meili-0", "search", 9.0, "ConnectionLost")
    went_on: list[str] = []

    async def wait(name: str) -> None:
        await cluster.confirmed("meili-0")
        went_on.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "a")
        nursery.start_soon(wait, "b")
        with trio.fail_after(60):
            await cluster.suspected("meili-0")
        await trio.testing.wait_all_tasks_blocked()
        assert went_on == []
        with trio.move_on_after(0):
            await cluster.suspected("meili-0")
            raise AssertionError("one suspicion was told twice")
        cluster.node_identified("meili-0", "life")
    assert sorted(went_on) == ["a", "b"]


async def test_a_look_answers_no_later_suspicion(cluster: Cluster) -> None:
    """The disk may have changed after it was looked at."""
    cluster.suspect("meili-0")
    looked_at = cluster.suspicions("meili-0")
    cluster.suspect("meili-0")
    cluster.node_identified("meili-0", "life", looked_at=looked_at)
    with trio.move_on_after(0.01) as waiting:
        await cluster.confirmed("meili-0")
    assert waiting.cancelled_caught
    cluster.node_identified("meili-0", "life", looked_at=cluster.suspicions("meili-0"))
    with trio.fail_after(60):
        await cluster.confirmed("meili-0")


async def test_nobody_waits_for_a_node_that_is_given_up(cluster: Cluster) -> None:
    """A write that waits for its disk goes on without it; whoever wants the disk waits on."""
    cluster.node_identified("meili-0", "life")
    cluster.node_answered("meili-0")
    cluster.suspect("meili-0")
    confirmed = False

    async def wait() -> None:
        nonlocal confirmed
        await cluster.confirmed("meili-0")
        confirmed = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        with trio.move_on_after(0.01) as waiting:
            await cluster.confirmed_or_lost("meili-0")
        assert waiting.cancelled_caught, "it may still be in order"
        nursery.start_soon(cluster.confirmed_or_lost, "meili-0")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            cluster.node_missed("meili-0", "cannot connect")
        with trio.fail_after(60):
            await cluster.confirmed_or_lost("meili-0")
        await trio.testing.wait_all_tasks_blocked()
        assert not confirmed
        cluster.node_answered("meili-0")
        cluster.node_identified("meili-0", "life")


async def test_suspected_again_before_the_waiter_has_its_turn(cluster: Cluster) -> None:
    """Cleared and suspected in one instant: whoever waited waits on."""
    cluster.node_identified("meili-0", "life")
    cluster.suspect("meili-0")
    went_on = False

    async def wait() -> None:
        nonlocal went_on
        await cluster.confirmed("meili-0")
        went_on = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        cluster.node_identified("meili-0", "life")
        cluster.suspect("meili-0")
        await trio.testing.wait_all_tasks_blocked()
        assert not went_on
        cluster.node_identified("meili-0", "life")
    assert went_on


def test_whom_to_ask_first(cluster: Cluster) -> None:
    """Only usable ones; the fastest first; suspects last."""
    assert cluster.readiest() == []
    for number, seconds in enumerate((0.03, 0.01, 0.02)):
        cluster.node_identified(f"meili-{number}", "life")
        cluster.node_answered(f"meili-{number}")
        cluster.observe(f"meili-{number}", "search", seconds, None)
    assert cluster.readiest() == ["meili-1", "meili-2", "meili-0"]
    cluster.suspect("meili-1")
    assert cluster.readiest() == ["meili-2", "meili-0", "meili-1"]
    cluster.node_condemned("meili-2", "wiped")
    assert cluster.readiest() == ["meili-0", "meili-1"]


def test_another_topology(cluster: Cluster) -> None:
    """Known nodes stay as they are, connections and all; placements are those of the new one."""
    client, before = cluster.clients["meili-0"], cluster.placement(64)
    assert cluster.placement(64) is before
    cluster.node_identified("meili-0", "life")
    grown = with_node(cluster.topology, Node("meili-new", "http://new:7700", 0))
    cluster.adopt(grown)
    assert cluster.clients["meili-0"] is client
    assert cluster.incarnations == {"meili-0": "life"}
    assert cluster.health["meili-new"].status == "unknown"
    assert cluster.placement(64) == place(grown, 64)


def test_trusted_copies(cluster: Cluster) -> None:
    both, one = frozenset({"meili-0", "meili-1"}), frozenset({"meili-0"})
    cluster.load_in_sync({"i": {0: both, 1: both}})
    cluster.apply_in_sync("i", {1: one})
    assert cluster.in_sync("i") == {0: both, 1: one}
    cluster.apply_in_sync("new", {0: one})
    cluster.forget_index("i")
    assert cluster.in_sync("i") == {}
    assert cluster.in_sync("new") == {0: one}
