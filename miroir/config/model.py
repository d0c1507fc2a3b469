"""The whole configuration: one immutable value that every service is built from."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import Field, model_validator

from miroir.config.base import MayHoldCredentials, Positive, Section, Text
from miroir.config.fleet import AntiEntropy, Health, LeaderElection, NodeEntry, PeerDiscovery, Rebalancer, Resharding
from miroir.config.interfaces import AdminUi, SearchUi
from miroir.config.problems import ConfigError
from miroir.config.refusals import refusals
from miroir.config.searching import (
    CanaryRunner,
    Explain,
    Hedging,
    MultiSearch,
    QueryCoalescing,
    QueryPlanner,
    ReplicaSelection,
    Scatter,
    SessionPinning,
    Shadow,
    TenantAffinity,
    VectorSearch,
)
from miroir.config.serving import Admin, ConnectionPool, Logging, Server, TaskRegistry, TaskStore, Tracing
from miroir.config.writing import (
    Aliases,
    Cdc,
    DumpImport,
    Dumps,
    Idempotency,
    Ilm,
    SettingsBroadcast,
    SettingsDriftCheck,
    Ttl,
    Write,
)


class Config(Section):
    """Every knob of Miroir. Building one with values that do not go together raises `ConfigError`."""

    cluster_name: Text = Field("miroir", description="name of the cluster")
    shards: Annotated[Positive, Field(le=65_536)] = Field(
        64, description="shards of a new index: the most nodes a group will ever have, times 8"
    )
    replication_factor: Positive = Field(1, description="copies of a shard within each group")
    replica_groups: Positive = Field(1, description="groups; each holds all data")
    nodes: tuple[NodeEntry, ...] = Field((), description="the nodes the cluster starts with")
    task_store: TaskStore = TaskStore()
    admin: Admin = Admin()
    health: Health = Health()
    scatter: Scatter = Scatter()
    write: Write = Write()
    rebalancer: Rebalancer = Rebalancer()
    server: Server = Server()
    connection_pool_per_node: ConnectionPool = ConnectionPool()
    task_registry: TaskRegistry = TaskRegistry()
    resharding: Resharding = Resharding()
    hedging: Hedging = Hedging()
    replica_selection: ReplicaSelection = ReplicaSelection()
    query_planner: QueryPlanner = QueryPlanner()
    settings_broadcast: SettingsBroadcast = SettingsBroadcast()
    settings_drift_check: SettingsDriftCheck = SettingsDriftCheck()
    session_pinning: SessionPinning = SessionPinning()
    aliases: Aliases = Aliases()
    anti_entropy: AntiEntropy = AntiEntropy()
    dumps: Dumps = Dumps()
    dump_import: DumpImport = DumpImport()
    idempotency: Idempotency = Idempotency()
    query_coalescing: QueryCoalescing = QueryCoalescing()
    multi_search: MultiSearch = MultiSearch()
    vector_search: VectorSearch = VectorSearch()
    cdc: Cdc = Cdc()
    ttl: Ttl = Ttl()
    tenant_affinity: TenantAffinity = TenantAffinity()
    shadow: Shadow = Shadow()
    ilm: Ilm = Ilm()
    canary_runner: CanaryRunner = CanaryRunner()
    explain: Explain = Explain()
    admin_ui: AdminUi = AdminUi()
    search_ui: SearchUi = SearchUi()
    peer_discovery: PeerDiscovery = PeerDiscovery()
    leader_election: LeaderElection = LeaderElection()
    tracing: Tracing = Tracing()
    logging: Logging = Logging()

    @model_validator(mode="after")
    def _refuse_what_does_not_go_together(self) -> Self:
        problems = refusals(self)
        if problems:
            raise ConfigError(problems)
        return self

    def dump(self, *, reveal: bool = False) -> dict[str, Any]:
        """Plain values, as a configuration file below `miroir:` has them; credentials in URLs hidden, or not."""
        values = self.model_dump(mode="json")
        if not reveal:
            _hide_credentials(self, values)
        return values

    def to_yaml(self, *, reveal: bool = False) -> str:
        """A configuration file. With `reveal` it loads to an equal `Config`; without, passwords in URLs are `***`."""
        # Escaped to ASCII: PyYAML writes U+0085 and its like raw, and reads them back as line breaks.
        return yaml.safe_dump({"miroir": self.dump(reveal=reveal)}, sort_keys=False, allow_unicode=False, width=120)

    def to_json(self, *, reveal: bool = False) -> str:
        """The same as JSON."""
        return json.dumps({"miroir": self.dump(reveal=reveal)}, indent=2, ensure_ascii=False)


def _hide_credentials(section: Section, values: dict[str, Any]) -> None:
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if any(isinstance(mark, MayHoldCredentials) for mark in info.metadata):
            values[name] = _without_credentials(value)
        elif isinstance(value, Section):
            _hide_credentials(value, values[name])
        elif isinstance(value, tuple):
            for item, dumped in zip(value, values[name], strict=True):
                if isinstance(item, Section):
                    _hide_credentials(item, dumped)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"***@{host}" if "@" in parts.netloc else host
    # A webhook's path is often its password.
    path = "/***" if parts.scheme in {"http", "https"} and parts.path.strip("/") else parts.path
    query = "***" if parts.query else ""
    return urlunsplit((parts.scheme, netloc, path, query, "***" if parts.fragment else ""))
