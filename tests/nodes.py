"""Real nodes and real clusters for tests: processes with handles to hurt them, and the pool that shares them.

Starting a cluster takes seconds, so tests share one per shape and keep apart by index names. A cluster in which a test
has stopped, killed or paused anything is *disturbed* and thrown away after that test: whether a hurt cluster heals is a
thing to test, not a thing to build other tests on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from miroir.cli.dev_nodes import MeilisearchNode
from miroir.cli.dev_process import Child, StartError, free_port, scratch_directory
from miroir.cli.dev_server import Keys, MiroirServer, merged, server_config
from tests.client import Api, StampGuard, wait_until

MASTER_KEY = "test-master-key-0123456789"
NODE_KEY = "test-node-key-0123456789ab"
ADMIN_KEY = "test-admin-key-0123456789a"

# Failures are noticed in a fraction of a second instead of fifteen.
QUICK: Mapping[str, Any] = {
    "health": {"interval_ms": 200, "timeout_ms": 1000, "unhealthy_threshold": 2, "recovery_threshold": 1},
    "server": {"shutdown_grace_s": 5},
    "logging": {"format": "json"},
}


_NODES_KEPT = 5
"""Nodes of shared clusters that stay when the next module begins: the common shapes."""


class Handle(Child):
    """What a test may do to a process. Each of these marks it as disturbed."""

    disturbed = False

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it with SIGTERM and wait for that."""
        self.disturbed = True
        super().stop(timeout_s)

    def kill(self) -> None:
        """End it with SIGKILL and wait for that."""
        self.disturbed = True
        super().kill()

    def pause(self) -> None:
        """SIGSTOP, and wait until all its threads have stopped: connections stay open and nothing answers."""
        self.disturbed = True
        self.send_signal(signal.SIGSTOP)
        found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if found is None or found.si_code != os.CLD_STOPPED:
            raise StartError(f"{self.name} ended before it was paused:\n{self.log_tail()}")

    def resume(self) -> None:
        """SIGCONT."""
        self.send_signal(signal.SIGCONT)

    def restart(self, timeout_s: float = 60.0) -> None:
        """Bring it back with the same data on the same port and wait until it serves; one that runs is stopped first.

        From the main thread only; in a Trio test that is a plain call, which blocks the loop meanwhile.
        """
        if self.running:
            self.stop()
        self.start()
        self.wait_serving(timeout_s)


class RealNode(Handle, MeilisearchNode):
    """A real Meilisearch with a client that sees everything it stores, stamps included."""

    def __init__(self, node_id: str, directory: Path, *, arguments: Sequence[str] = ()) -> None:
        super().__init__(node_id, port=free_port(), directory=directory, master_key=NODE_KEY, arguments=arguments)
        self.api = Api(self.address, NODE_KEY)

    def wipe(self) -> None:
        self.disturbed = True
        super().wipe()

    def close(self) -> None:
        """End it for good, with its data."""
        self.api.close()
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class RealServer(Handle, MiroirServer):
    """Miroir as a process."""


class Cluster:
    """Real nodes in groups and Miroir in front of them.

    `client` speaks to the data plane with the master key, `admin` to `/_miroir` with the admin key; every answer to
    either goes past the stamp guard.
    """

    def __init__(
        self,
        directory: Path,
        guard: StampGuard,
        *,
        groups: int,
        nodes: int,
        rf: int,
        shards: int,
        over: Mapping[str, Any],
        node_arguments: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.groups = groups
        self.rf = rf
        self.shards = shards
        self.nodes = [
            RealNode(f"meili-{number}", directory / f"meili-{number}", arguments=node_arguments)
            for number in range(groups * nodes)
        ]
        config = server_config(
            self.nodes,
            groups=groups,
            rf=rf,
            shards=shards,
            port=free_port(),
            metrics_port=free_port(),
            store=directory / "miroir.db",
            over=merged(QUICK, over),
        )
        self.server = RealServer(directory, config, Keys(master=MASTER_KEY, node=NODE_KEY, admin=ADMIN_KEY))
        self.client = Api(self.server.address, MASTER_KEY, guard)
        self.admin = Api(self.server.address, ADMIN_KEY, guard)
        self.metrics_url = f"http://127.0.0.1:{config['miroir']['server']['metrics_port']}/metrics"

    def start(self) -> None:
        """Start everything and return when every node is seen healthy."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_serving()
        self.server.start()
        self.server.wait_serving(60)
        self.wait_all_healthy()

    def node(self, node_id: str) -> RealNode:
        return next(node for node in self.nodes if node.node_id == node_id)

    def group(self, number: int) -> list[RealNode]:
        """The nodes of one replica group."""
        size = len(self.nodes) // self.groups
        return self.nodes[number * size : (number + 1) * size]

    def topology(self) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.get("/_miroir/topology")
        return found

    def wait_all_healthy(self, timeout_s: float = 30.0) -> None:
        """Until Miroir counts no degraded node."""
        wait_until(lambda: self.topology()["degraded_node_count"] == 0, timeout_s, "every node healthy")

    def wait_failed(self, count: int, timeout_s: float = 30.0) -> None:
        """Until Miroir has given up exactly so many nodes; one that missed an answer or two is asked on."""

        def failed() -> int:
            return sum(node["status"] == "failed" for node in self.topology()["nodes"])

        wait_until(lambda: failed() == count, timeout_s, f"{count} nodes failed")

    def wait_left(self, *nodes: RealNode, timeout_s: float = 60.0) -> None:
        """Until Miroir has found just these in order and has given up all others."""
        wanted = {node.node_id: "healthy" if node in nodes else "failed" for node in self.nodes}

        def found() -> dict[str, str]:
            return {node["id"]: node["status"] for node in self.topology()["nodes"]}

        wait_until(lambda: found() == wanted, timeout_s, f"{len(nodes)} nodes left")

    @property
    def usable(self) -> bool:
        """Whether another test may build on it."""
        handles: list[Handle] = [*self.nodes, self.server]
        return all(handle.running and not handle.disturbed for handle in handles)

    def close(self) -> None:
        """End everything and remove the data."""
        self.client.close()
        self.admin.close()
        self.server.kill()
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class ClusterPool:
    """Clusters by shape, started when first asked for. `retire` after every test drops what is no longer usable."""

    def __init__(self, guard: StampGuard) -> None:
        self._guard = guard
        self._root = scratch_directory("miroir-test")
        self._shared: dict[str, Cluster] = {}
        self._private: list[Cluster] = []
        self._count = 0

    def folder(self) -> Path:
        """A new folder's path below the pool's."""
        self._count += 1
        return self._root / str(self._count)

    def get(
        self,
        groups: int = 1,
        nodes: int = 3,
        rf: int = 1,
        shards: int = 16,
        *,
        fresh: bool = False,
        node_arguments: Sequence[str] = (),
        over: Mapping[str, Any] | None = None,
    ) -> Cluster:
        shape = json.dumps([groups, nodes, rf, shards, list(node_arguments), over or {}], sort_keys=True)
        if not fresh and shape in self._shared:
            self._shared[shape] = known = self._shared.pop(shape)  # the most recently used stands last
            return known
        made = Cluster(
            self.folder(),
            self._guard,
            groups=groups,
            nodes=nodes,
            rf=rf,
            shards=shards,
            over=over or {},
            node_arguments=node_arguments,
        )
        try:
            made.start()
        except BaseException:
            made.close()
            raise
        if fresh:
            self._private.append(made)
        else:
            self._shared[shape] = made
        return made

    def retire(self) -> None:
        """End the private clusters and the disturbed shared ones."""
        for cluster in self._private:
            cluster.close()
        self._private.clear()
        for shape in [shape for shape, cluster in self._shared.items() if not cluster.usable]:
            self._shared.pop(shape).close()

    def shrink(self) -> None:
        """End shared clusters, the least recently used first, until few nodes are left.

        Called behind every module. A node that nobody uses still takes its part of the machine: with sixty of them
        running, all in memory and probed five times a second, the suite took twice as long.
        """
        while sum(len(cluster.nodes) for cluster in self._shared.values()) > _NODES_KEPT:
            self._shared.pop(next(iter(self._shared))).close()

    def close(self) -> None:
        self.retire()
        for cluster in self._shared.values():
            cluster.close()
        shutil.rmtree(self._root, ignore_errors=True)
