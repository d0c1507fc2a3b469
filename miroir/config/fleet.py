"""Knobs of the fleet: its nodes, their health, and how data moves between them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from miroir.config.base import Count, NodeAddress, NodeId, Positive, Schedule, Section, Text, Window


class NodeEntry(Section):
    """A Meilisearch node the cluster starts with. Ids are never reused."""

    id: NodeId = Field(description="name of the node, for ever")
    address: NodeAddress = Field(description="`http://host:port` or `https://host:port`")
    replica_group: Count = Field(0, description="the group it belongs to, counted from 0")


class Health(Section):
    """Probes of the nodes."""

    interval_ms: Positive = Field(5000, description="time between two probes of a node")
    timeout_ms: Positive = Field(2000, description="a probe not answered by then has failed")
    unhealthy_threshold: Positive = Field(3, description="failed probes in a row until a node counts as failed")
    recovery_threshold: Positive = Field(2, description="good probes in a row until it counts as healthy again")


class Rebalancer(Section):
    """Moves of shards between nodes."""

    auto_rebalance_on_recovery: bool = Field(True, description="bring a returning node up to date by itself")
    max_concurrent_migrations: Positive = Field(4, description="shards that move at the same time")
    migration_batch_size: Positive = Field(1000, description="documents in one copying request")
    migration_timeout_s: Positive = Field(3600, description="a shard that has not moved by then is given up")
    cutover_hold_ms: Count = Field(5000, description="longest time writes to a shard wait while it changes owner")
    cleanup_delay_s: Count = Field(30, description="time before the old copy is deleted")
    replace_failed_after_s: Count = Field(0, description="replace a failed node by itself after this time; 0: never")


class Resharding(Section):
    """Changing the number of shards of an index while it is in use."""

    enabled: bool = Field(True, description="offer resharding")
    backfill_concurrency: Positive = Field(4, description="shards copied at the same time")
    backfill_batch_size: Positive = Field(1000, description="documents in one copying request")
    throttle_docs_per_sec: Count = Field(0, description="most documents copied per second; 0: no limit")
    verify_before_swap: bool = Field(True, description="compare all keys and contents before the swap")
    retain_old_index_hours: Count = Field(48, description="how long a rollback stays possible")
    allowed_windows: tuple[Window, ...] = Field(
        (), description="when a reshard may start, such as `02:00-06:00 UTC`; none: always"
    )


class AntiEntropy(Section):
    """The scheduled comparison of copies."""

    enabled: bool = Field(True, description="compare copies on a schedule")
    schedule: Schedule = Field("every 6h", description="`every N` with the unit `s`, `m`, `h` or `d`")
    shards_per_pass: Count = Field(0, description="shards compared in one pass; 0: all")
    max_read_concurrency: Positive = Field(2, description="nodes read at the same time")
    fingerprint_batch_size: Positive = Field(1000, description="documents in one reading request")
    auto_repair: bool = Field(True, description="repair what differs; off: only report it")


class PeerDiscovery(Section):
    """How the processes of one Miroir find each other."""

    mode: Literal["store", "dns"] = Field("store", description="ask the task store, or the headless service's DNS")
    service_name: Text = Field("miroir-headless", description="the headless service to ask, for `dns`")
    refresh_interval_s: Positive = Field(15, description="time between two looks")


class LeaderElection(Section):
    """Leases on work that one process does for all."""

    enabled: bool = Field(True, description="take leases; off only where there is a single process")
    lease_ttl_s: Positive = Field(10, description="a lease not renewed for this long is free")
    renew_interval_s: Positive = Field(3, description="time between two renewals; below `lease_ttl_s`")
