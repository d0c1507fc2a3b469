"""Knobs that are accepted and checked but have no effect yet, so that nobody has to find that out at night."""

from __future__ import annotations

from typing import Final

from miroir.config.model import Config

UNBUILT: Final = frozenset(
    {
        "admin_ui",
        "canary_runner",
        "cdc",
        "explain",
        "hedging",
        "ilm",
        "leader_election",
        "peer_discovery",
        "query_coalescing",
        "query_planner",
        "resharding",
        "search_ui",
        "session_pinning",
        "shadow",
        "tenant_affinity",
        "tracing",
        "ttl",
    }
)
"""Whole sections whose capability is not built."""

UNBUILT_KEYS: Final = {
    "anti_entropy": frozenset(
        {"auto_repair", "fingerprint_batch_size", "max_read_concurrency", "schedule", "shards_per_pass"}
    ),
    "dump_import": frozenset({"chunk_size_bytes", "mode"}),
    "multi_search": frozenset({"enabled"}),
    "rebalancer": frozenset(
        {
            "auto_rebalance_on_recovery",
            "cleanup_delay_s",
            "max_concurrent_migrations",
            "migration_timeout_s",
            "replace_failed_after_s",
        }
    ),
    "replica_selection": frozenset(
        {"error_weight", "exploration_epsilon", "inflight_weight", "latency_weight", "strategy"}
    ),
    "server": frozenset({"trusted_proxies", "workers"}),
    "task_registry": frozenset({"cache_size", "redis_pool_max"}),
    "task_store": frozenset({"url"}),
}
"""Single knobs of sections that are built."""


def set_in_vain(config: Config) -> list[str]:
    """The dotted names that differ from their defaults though nothing reads them yet, in order."""
    defaults = Config()
    named = [name for name in UNBUILT if getattr(config, name) != getattr(defaults, name)]
    for section, keys in UNBUILT_KEYS.items():
        ours, theirs = getattr(config, section), getattr(defaults, section)
        named += [f"{section}.{key}" for key in keys if getattr(ours, key) != getattr(theirs, key)]
    return sorted(named)
