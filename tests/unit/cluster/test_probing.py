"""What the prober makes of a node's disk. The store is real; in-memory stand-ins are the nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from miroir.cluster import ForeignNode, Prober
from miroir.http import ConnectFailed, ConnectionLost
from miroir.nodes import Identity, NodeAnswerError
from miroir.store import NodeIdentity
from tests.unit.cluster.memory_node import INDEX, Fleet, MemoryNode, fleet
from tests.unit.cluster.topologies import plain

CLUSTER = "c1"
SHARDS = 6


@pytest.fixture
async def probed(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Three nodes nobody has looked at, two copies of everything, all trusted."""
    async with fleet(tmp_path, plain(1, 3, 2)) as opened:
        await opened.add_index(SHARDS)
        yield opened


def _prober(probed: Fleet, *, interval_s: float = 1000.0, timeout_s: float = 20.0) -> Prober:
    return Prober(probed.cluster, probed.store, CLUSTER, interval_s=interval_s, timeout_s=timeout_s, rng=Random(1))


def _node(probed: Fleet, number: int = 0) -> MemoryNode:
    return probed.nodes[f"meili-{number}"]


async def test_first_contact_writes_who_they_are(probed: Fleet) -> None:
    await _prober(probed).first_look()
    known = await probed.store.load_identities()
    lives: set[str] = set()
    for name, node in probed.nodes.items():
        assert node.disk is not None
        assert (node.disk.cluster_id, node.disk.node_id) == (CLUSTER, name)
        assert known[name] == NodeIdentity(name, node.disk.incarnation, -1)
        assert probed.cluster.incarnations[name] == node.disk.incarnation
        assert probed.cluster.usable(name)
        lives.add(node.disk.incarnation)
    assert len(lives) == 3
    assert await probed.repairs() == set()


async def test_a_known_disk_is_left_as_it_is(probed: Fleet) -> None:
    """By this process, and by the next one."""
    prober = _prober(probed)
    await prober.first_look()
    disks = {name: node.disk for name, node in probed.nodes.items()}
    _node(probed).highest = 41
    await prober.probe("meili-0")
    await _prober(probed).first_look()
    assert {name: node.disk for name, node in probed.nodes.items()} == disks
    assert (await probed.store.load_identities())["meili-0"].highest_task_uid == 41
    assert probed.cluster.usable_nodes() == set(probed.nodes)
    assert await probed.repairs() == set()


async def test_a_store_that_lost_its_notes_adopts_its_own_nodes(probed: Fleet) -> None:
    _node(probed).disk = Identity(CLUSTER, "meili-0", "earlier life")
    _node(probed).highest = 7
    await _prober(probed).first_look()
    assert probed.cluster.incarnations["meili-0"] == "earlier life"
    assert (await probed.store.load_identities())["meili-0"] == NodeIdentity("meili-0", "earlier life", 7)


@pytest.mark.parametrize(
    "stranger", [Identity("c2", "meili-0", "x"), Identity(CLUSTER, "meili-1", "x"), Identity("c2", "other", "x")]
)
async def test_a_stranger_stops_the_start(probed: Fleet, stranger: Identity) -> None:
    _node(probed).disk = stranger
    with pytest.raises(ForeignNode, match=rf"meili-0 .*{stranger.node_id}.*{stranger.cluster_id}"):
        await _prober(probed).first_look()
    assert _node(probed).disk == stranger
    assert "meili-0" not in await probed.store.load_identities()
    assert not probed.cluster.usable("meili-0")
    assert probed.cluster.usable("meili-1")


async def test_all_strangers_are_named(probed: Fleet) -> None:
    for number in (0, 2):
        _node(probed, number).disk = Identity("c2", "x", "y")
    with pytest.raises(ForeignNode, match=r"meili-0 .*; meili-2 "):
        await _prober(probed).first_look()


async def test_a_stranger_behind_a_known_address(probed: Fleet) -> None:
    """Its copies are not dropped: the address may be wrong, and the disk still be somewhere."""
    prober = _prober(probed)
    await prober.first_look()
    _node(probed).disk = Identity("c2", "meili-0", "x")
    with pytest.raises(ForeignNode):
        await prober.probe("meili-0")
    assert not probed.cluster.usable("meili-0")
    assert probed.cluster.health["meili-0"].status == "failed"
    assert probed.cluster.in_sync(INDEX) == probed.cluster.placement(SHARDS).copies()
    assert await probed.repairs() == set()


@pytest.mark.parametrize("loss", ["wiped", "rolled back", "another disk"])
async def test_a_lost_disk(probed: Fleet, loss: str) -> None:
    """Nobody trusts its copies, each of them is queued for repair, and it starts a new life."""
    node = _node(probed)
    prober = _prober(probed)
    await prober.first_look()
    node.highest = 50
    await prober.probe("meili-0")
    old = node.disk
    assert old is not None
    if loss == "wiped":
        node.disk, node.highest = None, -1
    elif loss == "rolled back":
        node.highest = 49
    else:
        node.disk, node.highest = Identity(CLUSTER, "meili-0", "older life"), 60
    await prober.probe("meili-0")
    assert node.disk is not None
    assert node.disk.incarnation not in (old.incarnation, "older life")
    assert probed.cluster.incarnations["meili-0"] == node.disk.incarnation
    assert (await probed.store.load_identities())["meili-0"].incarnation == node.disk.incarnation
    placement = probed.cluster.placement(SHARDS)
    left = {shard: owners - {"meili-0"} for shard, owners in enumerate(placement.owners)}
    assert probed.cluster.in_sync(INDEX) == left
    assert (await probed.store.load_in_sync())[INDEX] == left
    assert await probed.repairs() == {(shard, "meili-0") for shard in placement.shards_of_node["meili-0"]}
    # One good answer does not make it healthy again, and the new life is not taken for a loss.
    assert not probed.cluster.usable("meili-0")
    disk = node.disk
    await prober.probe("meili-0")
    assert node.disk == disk
    assert probed.cluster.usable("meili-0")


async def test_a_disk_rolled_back_to_a_point_since_the_last_probe(probed: Fleet) -> None:
    """It has every task a probe has seen, and lacks one that it took afterwards."""
    node = _node(probed)
    prober = _prober(probed)
    await prober.first_look()
    node.highest = 50
    await prober.probe("meili-0")
    life = probed.cluster.incarnations["meili-0"]
    node.newest_taken, node.highest = 60, 60
    await prober.probe("meili-0")
    assert probed.cluster.incarnations["meili-0"] == life, "it has what it took"
    node.newest_taken, node.highest = 70, 65
    await prober.probe("meili-0")
    assert probed.cluster.incarnations["meili-0"] != life
    assert await probed.repairs() == {
        (shard, "meili-0") for shard in probed.cluster.placement(SHARDS).shards_of_node["meili-0"]
    }
    node.highest = 66
    await prober.probe("meili-0")
    assert probed.cluster.usable("meili-0"), "what the old disk took is not asked of the new one"


async def test_what_a_node_took_outlives_the_process_that_gave_it(probed: Fleet) -> None:
    """A repair's tasks stand in no row of the store: only the probe's note says how far the disk was."""
    node = _node(probed)
    prober = _prober(probed)
    await prober.first_look()
    node.newest_taken, node.highest = 60, 60
    await prober.probe("meili-0")
    assert (await probed.store.load_identities())["meili-0"].highest_task_uid == 60
    life = probed.cluster.incarnations["meili-0"]
    node.newest_taken, node.highest = -1, 55
    await _prober(probed).first_look()
    assert probed.cluster.incarnations["meili-0"] != life


async def test_a_new_life_is_one_however_long_it_is_prepared_for(probed: Fleet) -> None:
    """A wiped node that refuses what it needs before use is no wiped node once more at each look."""
    node = _node(probed)
    prober = _prober(probed)
    await prober.first_look()
    ready = False

    async def prepare(node: str, *, is_new: bool) -> None:
        if not ready:
            raise NodeAnswerError(node, 400, b"")

    prober.before_use(prepare)
    node.disk, node.highest = None, -1
    lives: set[str] = set()
    for _ in range(3):
        await prober.probe("meili-0")
        assert node.disk is not None
        lives.add(node.disk.incarnation)
        assert not probed.cluster.usable("meili-0")
    ready = True
    for _ in range(2):
        await prober.probe("meili-0")
    assert lives == {probed.cluster.incarnations["meili-0"]}
    assert probed.cluster.usable("meili-0")


async def test_what_a_node_takes_while_it_is_looked_at_it_need_not_know_yet(probed: Fleet) -> None:
    node = _node(probed)
    prober = _prober(probed)
    await prober.first_look()
    life = probed.cluster.incarnations["meili-0"]

    async def take() -> int:
        highest = node.highest
        node.newest_taken = 500
        await trio.lowlevel.checkpoint()
        return highest

    node.highest_task_uid = take  # type: ignore[method-assign]
    await prober.probe("meili-0")
    assert probed.cluster.incarnations["meili-0"] == life


async def test_the_last_copy_is_never_replaced_by_nothing(tmp_path: Path) -> None:
    """With one copy, a wiped node leaves its shards to nobody: they are unavailable, not empty."""
    async with fleet(tmp_path, plain(1, 2, 1)) as opened:
        await opened.add_index(SHARDS)
        prober = _prober(opened)
        await prober.first_look()
        old = opened.cluster.incarnations["meili-0"]
        opened.nodes["meili-0"].disk = None
        await prober.probe("meili-0")
        held = opened.cluster.placement(SHARDS).shards_of_node["meili-0"]
        assert held
        for shard in held:
            assert opened.cluster.in_sync(INDEX)[shard] == {f"meili-0#{old}"}


@pytest.mark.parametrize(
    "failure", [ConnectFailed("refused"), ConnectionLost("cut", sent=True), NodeAnswerError("meili-0", 500, b"")]
)
async def test_no_answer_is_no_loss(probed: Fleet, failure: Exception) -> None:
    """Health suffers, trust does not."""
    prober = _prober(probed)
    await prober.first_look()
    states: list[str] = []

    async def probe() -> None:
        await prober.probe("meili-0")
        states.append(probed.cluster.health["meili-0"].status)

    _node(probed).failure = failure
    for _ in range(3):
        await probe()
    assert probed.cluster.in_sync(INDEX) == probed.cluster.placement(SHARDS).copies()
    assert "meili-0" in probed.cluster.incarnations
    _node(probed).failure = None
    for _ in range(2):
        await probe()
    assert states == ["degraded", "degraded", "failed", "failed", "healthy"]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "invalid_api_key", "the node refuses the key that Miroir sends it: set MIROIR_NODE_MASTER_KEY"),
        (401, "missing_authorization_header", "the node asks for a key, and Miroir has none for it: set MIROIR_NODE"),
    ],
)
async def test_a_node_that_refuses_our_key_is_told_of_once(probed: Fleet, status: int, code: str, says: str) -> None:
    """It is out of use at once: what it says to clients' requests is about our key, not about theirs."""
    prober = _prober(probed)
    await prober.first_look()
    node, cluster = _node(probed), probed.cluster
    error = {"message": "No.", "code": code, "type": "auth", "link": ""}
    node.failure = NodeAnswerError("meili-0", status, msgspec.json.encode(error))
    with capture_logs() as logs:
        await prober.probe("meili-0")
        assert not cluster.usable("meili-0")
        await prober.probe("meili-0")
    assert [entry["event"] for entry in logs] == ["node refuses our key"]
    assert cluster.health["meili-0"].refuses_key
    assert (cluster.health["meili-0"].reason or "").startswith(says)
    node.failure = ConnectFailed("refused")
    await prober.probe("meili-0")
    assert not cluster.health["meili-0"].refuses_key
    node.failure = None
    for _ in range(2):
        await prober.probe("meili-0")
    assert cluster.usable("meili-0")
    assert cluster.health["meili-0"].reason is None
    assert await probed.repairs() == set(), "its copies are what they were"


async def test_an_unreadable_identity_is_no_loss(probed: Fleet) -> None:
    prober = _prober(probed)
    await prober.first_look()
    _node(probed).failure = msgspec.ValidationError("no such member")
    await prober.probe("meili-0")
    assert probed.cluster.health["meili-0"].status == "degraded"
    assert await probed.repairs() == set()


async def test_silence_is_a_miss(probed: Fleet) -> None:
    """A node that never answers holds up neither the start nor the others."""
    _node(probed).silent = True
    with trio.fail_after(60):
        await _prober(probed, timeout_s=0.05).first_look()
    assert probed.cluster.health["meili-0"].status == "failed"
    assert probed.cluster.usable_nodes() == {"meili-1", "meili-2"}


async def test_an_identity_that_cannot_be_written(probed: Fleet) -> None:
    """It is not used, and the next probe tries again."""
    node = _node(probed)
    write, attempts = node.write_identity, 0

    async def failing(identity: Identity) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise NodeAnswerError("meili-0", 507, b"no space left")
        await write(identity)

    node.write_identity = failing  # type: ignore[method-assign]  # the stand-in does as it is told
    prober = _prober(probed)
    await prober.first_look()
    assert not probed.cluster.usable("meili-0")
    assert "meili-0" not in await probed.store.load_identities()
    for _ in range(2):
        await prober.probe("meili-0")
    assert attempts == 2
    assert probed.cluster.usable("meili-0")


async def test_an_identity_that_is_written_late_is_no_other_disk(probed: Fleet) -> None:
    """A busy node does the first of two writes after it was given up, and the second when it is trusted already."""
    node = _node(probed)
    sent: list[Identity] = []

    async def write_late(identity: Identity) -> None:
        sent.append(identity)
        await trio.sleep_forever()

    node.write_identity = write_late  # type: ignore[method-assign]
    prober = _prober(probed, timeout_s=0.02)
    await prober.probe("meili-0")
    await prober.probe("meili-0")
    assert len(sent) == 2
    node.disk = sent[0]
    await prober.probe("meili-0")
    life = probed.cluster.incarnations["meili-0"]
    node.disk = sent[1]
    await prober.probe("meili-0")
    assert probed.cluster.incarnations["meili-0"] == life
    assert await probed.repairs() == set()


async def test_a_suspect_is_looked_at_at_once(probed: Fleet) -> None:
    """The rhythm is a quarter of an hour; the broken connection does not wait for it."""
    prober = _prober(probed)
    await prober.first_look()
    before = {name: node.probes for name, node in probed.nodes.items()}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            probed.cluster.suspect("meili-1")
            with trio.fail_after(60):
                await probed.cluster.confirmed("meili-1")
        nursery.cancel_scope.cancel()
    assert {name: node.probes - before[name] for name, node in probed.nodes.items()} == {
        "meili-0": 0,
        "meili-1": 3,
        "meili-2": 0,
    }


async def test_a_stranger_does_not_end_the_probing(probed: Fleet) -> None:
    prober = _prober(probed, interval_s=0.01)
    await prober.first_look()
    own, _node(probed).disk = _node(probed).disk, Identity("c2", "x", "y")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.run)
        with trio.fail_after(60):
            while "meili-0" in probed.cluster.incarnations:
                await trio.lowlevel.checkpoint()
            _node(probed).disk = own
            while not probed.cluster.usable("meili-0"):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_a_store_that_is_away_does_not_end_the_probing(probed: Fleet) -> None:
    prober = _prober(probed, interval_s=0.01)
    await prober.first_look()
    await probed.store.aclose()
    probes = _node(probed).probes
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.run)
        with trio.fail_after(60):
            while _node(probed).probes < probes + 3:
                _node(probed).highest += 1  # so that there is something to be kept each time
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
