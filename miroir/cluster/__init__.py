"""The cluster: who is in it, where shards live, whose copies are trusted, who answers."""

from miroir.cluster.features import Features
from miroir.cluster.hashing import shard_of, shards_of
from miroir.cluster.health import Health, Thresholds
from miroir.cluster.holds import Holds
from miroir.cluster.lanes import Lanes
from miroir.cluster.placement import Placement, place
from miroir.cluster.probing import ForeignNode, Prober
from miroir.cluster.quorum import groups_short_of, quorums, short_groups
from miroir.cluster.state import Cluster
from miroir.cluster.topology import Group, Node, Topology, seed
from miroir.cluster.verdicts import ANYWHERE, SCRATCH_PREFIX, Verdicts
from miroir.cluster.writing import NodeRefusal, Operation, Writer, Written

__all__ = [
    "ANYWHERE",
    "SCRATCH_PREFIX",
    "Cluster",
    "Features",
    "ForeignNode",
    "Group",
    "Health",
    "Holds",
    "Lanes",
    "Node",
    "NodeRefusal",
    "Operation",
    "Placement",
    "Prober",
    "Thresholds",
    "Topology",
    "Verdicts",
    "Writer",
    "Written",
    "groups_short_of",
    "place",
    "quorums",
    "seed",
    "shard_of",
    "shards_of",
    "short_groups",
]
