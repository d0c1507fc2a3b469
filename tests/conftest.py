"""Fixtures of the whole suite.

- `single_node`: a plain Meilisearch, shared; `.api` is its client.
- `real_node()`: another one, of the test's own, to be stopped and wiped at will.
- `cluster(groups=1, nodes=3, rf=1, shards=16, fresh=False, over={...})`: real nodes and Miroir as a process; `over` is
  configuration on top of ours. Shared per shape unless `fresh`; thrown away when the test hurts it.
- `index_name`: a name no other test uses.

Mark a test `allow_stamps` when it looks at stamps on purpose.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, settings

from tests.client import StampGuard
from tests.nodes import Cluster, ClusterPool, RealNode

# How long an example takes says how busy the machine is: 200 ms, which is too long otherwise, may pass anywhere.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_guard = StampGuard()
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def stamp_guard(request: pytest.FixtureRequest) -> Iterator[StampGuard]:
    """Looks into every answer Miroir gives to a test, unless the test is marked `allow_stamps`."""
    _guard.active = request.node.get_closest_marker("allow_stamps") is None
    yield _guard
    _guard.active = True


@pytest.fixture(scope="session")
def cluster_pool() -> Iterator[ClusterPool]:
    pool = ClusterPool(_guard)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="module", autouse=True)
def few_clusters(cluster_pool: ClusterPool) -> Iterator[None]:
    """Whatever a module needed, the next one begins with a few nodes running."""
    yield
    cluster_pool.shrink()


@pytest.fixture
def cluster(cluster_pool: ClusterPool) -> Iterator[Callable[..., Cluster]]:
    """A function that gives a cluster of the wanted shape: see `ClusterPool.get` for its arguments."""
    try:
        yield cluster_pool.get
    finally:
        cluster_pool.retire()


@pytest.fixture(scope="session")
def single_node(cluster_pool: ClusterPool) -> Iterator[RealNode]:
    """One plain node for the whole run: what Miroir is compared with."""
    node = RealNode("plain", cluster_pool.folder())
    try:
        node.start()
        node.wait_serving()
        yield node
    finally:
        node.close()


@pytest.fixture
def real_node(cluster_pool: ClusterPool) -> Iterator[Callable[..., RealNode]]:
    """A function that starts a plain node of the test's own."""
    started: list[RealNode] = []

    def start(node_id: str = "own", *, arguments: Sequence[str] = ()) -> RealNode:
        node = RealNode(node_id, cluster_pool.folder(), arguments=arguments)
        started.append(node)
        node.start()
        node.wait_serving()
        return node

    try:
        yield start
    finally:
        for node in started:
            node.close()


@pytest.fixture
def index_name(request: pytest.FixtureRequest) -> str:
    """An index uid of the test's own, with its name in it for the logs."""
    return f"{re.sub('[^a-zA-Z0-9]+', '_', request.node.name)[:60].strip('_')}_{next(_numbers)}"
