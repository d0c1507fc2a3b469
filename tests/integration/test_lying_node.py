"""A node that lies: garbage, half an answer, too much of one, none. The other copy is real, and nobody notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from miroir.cli.dev_server import merged
from tests import liar
from tests.client import StampGuard, wait_until
from tests.integration.test_faults import DEGRADED, add, all_ids, documents, fully_repaired
from tests.liar import Liar
from tests.nodes import Cluster, ClusterPool

LIES = [liar.garbage, liar.half, liar.too_much, liar.too_long, liar.nothing, liar.silence, liar.nonsense]


class Lied:
    """Two groups of one node each, so that reads take turns between the copies; the second is behind a liar."""

    def __init__(self, pool: ClusterPool, guard: StampGuard) -> None:
        # Background work is lied to as well, and must not put the node out of the game before ours is sent.
        over = {
            "scatter": {"node_timeout_ms": 1500},
            "server": {"request_timeout_ms": 6000},
            "health": {"unhealthy_threshold": 1000},
        }
        self.cluster = Cluster(pool.folder(), guard, groups=2, nodes=1, rf=1, shards=4, over=over)
        self.liar = Liar(self.cluster.nodes[1].port)
        first, second = self.cluster.server.config["miroir"]["nodes"]
        nodes = [first, {**second, "address": self.liar.address}]
        self.cluster.server.config = merged(self.cluster.server.config, {"miroir": {"nodes": nodes}})

    def lie_to_nobody(self, index: str) -> None:
        """Let the liar be honest until it is healthy and trusted again."""
        self.liar.lie = None
        self.cluster.wait_all_healthy()
        wait_until(lambda: fully_repaired(self.cluster, index), 60, "both copies trusted")
        self.liar.lied_to.clear()

    def lied(self, request: str) -> int:
        """How many requests whose lines begin like that were lied to."""
        return sum(line.startswith(request.encode()) for line in tuple(self.liar.lied_to))

    def liar_is_trusted(self, index: str) -> bool:
        """Whether some shard is still read from the liar."""
        shards = self.cluster.admin.get("/_miroir/shards", index=index)["shards"]
        return any("meili-1" in group["read_owners"] for shard in shards for group in shard["groups"])


@pytest.fixture
def lied(cluster_pool: ClusterPool, stamp_guard: StampGuard) -> Iterator[Lied]:
    made = Lied(cluster_pool, stamp_guard)
    try:
        made.cluster.start()
        yield made
    finally:
        made.liar.close()
        made.cluster.close()


def test_reads_come_from_the_other_copy_and_writes_leave_the_liar_behind(lied: Lied, index_name: str) -> None:
    running = lied.cluster
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 60))
    expected = 60
    for lie in LIES:
        lied.lie_to_nobody(index_name)
        lied.liar.lie = lie
        for _ in range(6):
            found, response = all_ids(running, index_name)
            assert found == list(range(expected)), lie.__name__
            assert DEGRADED not in response.headers
        assert lied.lied(f"POST /indexes/{index_name}/search "), f"the liar was not asked: {lie.__name__}"
        lied.lie_to_nobody(index_name)
        lied.liar.lie = lie
        answer = add(running, index_name, documents(expected, 40))
        assert answer.status_code == 202, (lie.__name__, answer.text)
        assert answer.headers[DEGRADED] == "groups=1"
        expected += 40
        assert lied.lied(f"POST /indexes/{index_name}/documents?") == 1, f"not sent once: {lie.__name__}"
        assert not lied.liar_is_trusted(index_name), lie.__name__
        lied.liar.lie = None  # the longer it lies, the longer its repair is put off
        running.client.succeeded(answer.json())
        assert all_ids(running, index_name)[0] == list(range(expected))
    lied.lie_to_nobody(index_name)
    running.nodes[0].kill()
    assert all_ids(running, index_name)[0] == list(range(expected))


def test_a_liar_cannot_fill_the_memory(lied: Lied, index_name: str) -> None:
    running = lied.cluster
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 10))
    before = peak_memory_kib(running)
    lied.liar.lie = liar.too_much
    for _ in range(20):
        assert all_ids(running, index_name)[0] == list(range(10))
    assert peak_memory_kib(running) - before < 20_000


def peak_memory_kib(running: Cluster) -> int:
    with open(f"/proc/{running.server.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def test_the_liar_lets_probes_through(lied: Lied) -> None:
    """Or these tests would only show dead nodes."""
    lied.liar.lie = liar.garbage
    wait_until(lambda: lied.liar.probes_let_through >= 6, 30, "a few probes let through")
    lied.cluster.wait_all_healthy()
