"""Who is in the cluster at the start: what the store says, and the configuration where the store says nothing yet."""

from __future__ import annotations

from miroir.cluster import Node, Topology, seed
from miroir.config import Config
from miroir.store import Store, TopologyRow
from miroir.telemetry import get_logger

_log = get_logger(__name__)


async def load_topology(config: Config, store: Store) -> Topology:
    """The store's topology with the configuration's addresses; the configuration's in a store that never had one."""
    nodes = tuple(Node(node.id, node.address, node.replica_group) for node in config.nodes)
    row = await store.load_topology()
    if row is None:
        topology = seed(nodes, groups=config.replica_groups, replication_factor=config.replication_factor)
        await store.save_topology(TopologyRow(topology.version, topology.to_json()))
        return topology
    stored = Topology.from_json(row.topology)
    topology = stored.reconciled(nodes)
    if topology.version != stored.version:
        await store.save_topology(TopologyRow(topology.version, topology.to_json()))
    _warn_of_others(config, stored)
    return topology


def _warn_of_others(config: Config, stored: Topology) -> None:
    """Say what of the configuration has no effect any more."""
    configured, known = sorted(node.id for node in config.nodes), sorted(node.id for node in stored.nodes)
    if configured != known:
        _log.warning(
            "the configuration names other nodes than the store, which wins", configured=configured, stored=known
        )
    if (config.replica_groups, config.replication_factor) != (len(stored.groups), stored.replication_factor):
        _log.warning(
            "the configuration asks for other copies than the store, which wins",
            configured=f"replica_groups {config.replica_groups}, replication_factor {config.replication_factor}",
            stored=f"replica_groups {len(stored.groups)}, replication_factor {stored.replication_factor}",
        )
