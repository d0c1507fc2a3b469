"""Values that are fine alone and wrong together. Pure: a configuration in, problems out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from miroir.config.problems import Problem

if TYPE_CHECKING:
    from miroir.config.model import Config


def refusals(config: Config) -> list[Problem]:
    """Every rule a configuration breaks in itself, whatever it is deployed on."""
    return [
        *_nodes(config),
        *_stores(config),
        *_server(config),
        *_leases(config),
        *_events(config),
        *_interfaces(config),
        *_unique_names(config),
    ]


def refusals_for_pods(config: Config, pods: int) -> list[Problem]:
    """What must not be when the deployment has, or may grow to, `pods` pods."""
    if pods <= 1:
        return []
    problems = []
    many = f"the deployment has {pods} pods"
    if config.task_store.backend == "sqlite":
        problems.append(
            Problem(
                "task_store.backend",
                f"`sqlite` serves one pod, and {many}",
                "write `task_store.backend: redis` and a `task_store.url`, or run one pod",
            )
        )
    limits = {
        "admin_ui.rate_limit.backend": config.admin_ui.enabled and config.admin_ui.rate_limit.backend,
        "search_ui.rate_limit.backend": config.search_ui.enabled and config.search_ui.rate_limit.backend,
    }
    problems.extend(
        Problem(path, f"`local` counts per pod, and {many}", f"write `{path}: redis`, or run one pod")
        for path, backend in limits.items()
        if backend == "local"
    )
    return problems


def settle_may_be_skipped(config: Config) -> bool:
    """Whether a move may be asked to skip its settle step: only while anti-entropy would find what it missed."""
    return config.anti_entropy.enabled


def _nodes(config: Config) -> Iterator[Problem]:
    seen_ids: dict[str, int] = {}
    seen_addresses: dict[str, int] = {}
    in_group: Counter[int] = Counter()
    for position, node in enumerate(config.nodes):
        path = f"nodes[{position}]"
        if node.id in seen_ids:
            yield Problem(
                f"{path}.id",
                f"`{node.id}` is already the id of nodes[{seen_ids[node.id]}]",
                "give each node an id of its own",
            )
        if node.address in seen_addresses:
            yield Problem(
                f"{path}.address",
                f"the address is already that of nodes[{seen_addresses[node.address]}]",
                "list each node once",
            )
        seen_ids.setdefault(node.id, position)
        seen_addresses.setdefault(node.address, position)
        if node.replica_group >= config.replica_groups:
            yield Problem(
                f"{path}.replica_group",
                f"there is no group {node.replica_group}: `replica_groups` is {config.replica_groups}",
                f"write a group from 0 to {config.replica_groups - 1}, or raise `replica_groups`",
            )
        in_group[node.replica_group] += 1
    if not config.nodes:  # they will come through the admin API
        return
    # A typo of a billion groups must not become a billion problems.
    short = [group for group in range(min(config.replica_groups, 1000)) if in_group[group] < config.replication_factor]
    if short:
        named = ", ".join(f"group {group} has {in_group[group]}" for group in short[:5])
        more = f" and {len(short) - 5} more groups" if len(short) > 5 else ""
        yield Problem(
            "replication_factor",
            f"{config.replication_factor} copies need as many nodes in each group; {named}{more}",
            "lower `replication_factor` or `replica_groups`, or list more `nodes`",
        )


def _stores(config: Config) -> Iterator[Problem]:
    if config.task_store.backend == "redis" and not config.task_store.url:
        yield Problem("task_store.url", "is empty, and the backend is `redis`", "write `redis://host:6379/0`")


def _server(config: Config) -> Iterator[Problem]:
    server = config.server
    if bool(server.tls.cert) != bool(server.tls.key):
        missing = "key" if server.tls.cert else "cert"
        yield Problem(
            f"server.tls.{missing}", "is empty, and the other half of the pair is set", "name both files, or neither"
        )
    if server.port and server.port == server.metrics_port:
        yield Problem("server.metrics_port", f"{server.port} is also `server.port`", "write another port, such as 9090")
    pool = config.connection_pool_per_node
    if pool.max_idle > pool.max_total:
        yield Problem(
            "connection_pool_per_node.max_idle",
            f"{pool.max_idle} is more than `max_total` ({pool.max_total})",
            "write at most `max_total`",
        )


def _leases(config: Config) -> Iterator[Problem]:
    election = config.leader_election
    if election.lease_ttl_s <= election.renew_interval_s:
        yield Problem(
            "leader_election.lease_ttl_s",
            f"{election.lease_ttl_s} is not more than `renew_interval_s` ({election.renew_interval_s}): "
            "each lease would end before it is renewed",
            "write about three times `renew_interval_s`",
        )


def _events(config: Config) -> Iterator[Problem]:
    if config.cdc.enabled and config.cdc.buffer.overflow == "redis" and config.task_store.backend != "redis":
        yield Problem(
            "cdc.buffer.overflow",
            f"`redis`, but the task store is `{config.task_store.backend}`",
            "write `cdc.buffer.overflow: disk`, or `task_store.backend: redis`",
        )


def _interfaces(config: Config) -> Iterator[Problem]:
    search = config.search_ui
    if search.scoped_key_rotate_before_expiry_days >= search.scoped_key_max_age_days:
        yield Problem(
            "search_ui.scoped_key_rotate_before_expiry_days",
            f"{search.scoped_key_rotate_before_expiry_days} is not less than `scoped_key_max_age_days` "
            f"({search.scoped_key_max_age_days}): a new key would be due at once",
            "write about half of `scoped_key_max_age_days`",
        )
    for name, overrides in (("admin_ui", config.admin_ui.csp_overrides), ("search_ui", search.csp_overrides)):
        for directive in type(overrides).model_fields:
            if "*" in getattr(overrides, directive):
                yield Problem(
                    f"{name}.csp_overrides.{directive}",
                    "`*` would switch the policy off",
                    "name the sources, such as https://cdn.example",
                )
    if search.auth.mode == "shared_key" and not search.auth.shared_key_env:
        yield Problem(
            "search_ui.auth.shared_key_env",
            "is empty, and the mode is `shared_key`",
            "name the environment variable that holds the key",
        )


def _unique_names(config: Config) -> Iterator[Problem]:
    named = {
        "cdc.sinks": [sink.name for sink in config.cdc.sinks],
        "shadow.targets": [target.name for target in config.shadow.targets],
        "canary_runner.canaries": [canary.id for canary in config.canary_runner.canaries],
        "ilm.policies": [policy.name for policy in config.ilm.policies],
    }
    for path, names in named.items():
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            yield Problem(
                path, f"used twice: {', '.join(f'`{name}`' for name in twice)}", "give each a name of its own"
            )
    for path, groups in (
        ("tenant_affinity.dedicated_groups", config.tenant_affinity.dedicated_groups),
        ("tenant_affinity.static_map", tuple(config.tenant_affinity.static_map.values())),
    ):
        outside = sorted({group for group in groups if group >= config.replica_groups})
        if outside:
            yield Problem(
                path,
                f"there is no group {outside[0]}: `replica_groups` is {config.replica_groups}",
                f"write groups from 0 to {config.replica_groups - 1}",
            )
