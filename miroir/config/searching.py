"""Knobs of reads: scatter, selection, planning, merging, and what watches them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from miroir.config.base import (
    Count,
    DocumentId,
    Factor,
    HeaderName,
    IndexUid,
    JsonObject,
    OptionalEnvName,
    Positive,
    SecretHttpUrl,
    Section,
    Share,
    Text,
    Weight,
)


class Scatter(Section):
    """Calls to the nodes."""

    node_timeout_ms: Positive = Field(5000, description="a node that has not answered by then has failed")
    retry_on_timeout: bool = Field(True, description="ask another copy when a node fails")
    unavailable_shard_policy: Literal["partial", "error"] = Field(
        "partial", description="shards nobody can read: answer without them and say so, or answer 503"
    )
    write_quorum: Literal["in_sync", "majority"] = Field(
        "in_sync", description="which copies must take a write: all that are in sync, or a majority of them"
    )
    exact_ties: bool = Field(True, description="order equal hits exactly as one node would")


class Hedging(Section):
    """A second request where a node is slow; reads only."""

    enabled: bool = Field(True, description="hedge slow reads")
    p95_trigger_multiplier: Factor = Field(1.2, description="times the node's own 95th percentile")
    min_trigger_ms: Count = Field(15, description="never before this time")
    max_hedges_per_query: Count = Field(2, description="most second requests of one search")
    cross_group_fallback: bool = Field(True, description="may ask another replica group")


class ReplicaSelection(Section):
    """Which copy is asked."""

    strategy: Literal["adaptive", "round_robin", "random"] = Field("adaptive", description="how a copy is chosen")
    latency_weight: Weight = Field(1.0, description="weight of the 95th percentile in milliseconds")
    inflight_weight: Weight = Field(2.0, description="weight of requests under way")
    error_weight: Weight = Field(10.0, description="weight of the error rate")
    ewma_half_life_ms: Positive = Field(5000, description="half-life of the smoothed figures")
    exploration_epsilon: Share = Field(0.05, description="share of searches that ask a copy at random")


class QueryPlanner(Section):
    """Asking only the shards that can have an answer."""

    enabled: bool = Field(True, description="narrow searches whose filter pins the primary key")
    max_pk_literals_narrowable: Positive = Field(128, description="most key values in a narrowed filter")
    log_plans: bool = Field(False, description="write the shape of each plan to the log, at debug")


class SessionPinning(Section):
    """Reading one's own writes (`X-Miroir-Session`)."""

    enabled: bool = Field(True, description="honour sessions")
    ttl_seconds: Positive = Field(900, description="a session unused for this long is forgotten")
    max_sessions: Positive = Field(100_000, description="sessions kept; the least used goes first")
    wait_strategy: Literal["block", "route_pin"] = Field("block", description="wait for the write, or only pin")
    max_wait_ms: Count = Field(5000, description="longest wait of a read")


class QueryCoalescing(Section):
    """Identical searches share one scatter."""

    enabled: bool = Field(True, description="share identical searches")
    window_ms: Count = Field(50, description="longest wait for the next flight")
    max_subscribers: Positive = Field(1000, description="searches that share one flight")
    max_pending_queries: Positive = Field(10_000, description="different searches followed at the same time")


class MultiSearch(Section):
    """`POST /multi-search`."""

    enabled: bool = Field(True, description="offer multi-search")
    max_queries_per_batch: Count = Field(0, description="most queries in one request; 0: no limit")
    max_concurrent_queries: Count = Field(16, description="queries of one request that run at once; 0: all")
    total_timeout_ms: Positive = Field(30_000, description="deadline of the whole request")
    per_query_timeout_ms: Positive = Field(30_000, description="deadline of one query")


class VectorSearch(Section):
    """Vector and hybrid search."""

    enabled: bool = Field(True, description="offer vector and hybrid search")
    over_fetch_factor: Positive = Field(3, description="hits asked per shard, times the limit")
    merge_strategy: Literal["convex", "rrf"] = Field("convex", description="weighted scores, or reciprocal ranks")
    hybrid_alpha_default: Share = Field(0.5, description="weight of the vector part when a search names none")
    rrf_k: Positive = Field(60, description="constant of reciprocal rank fusion")


class TenantAffinity(Section):
    """Reads of a tenant stay in one replica group."""

    enabled: bool = Field(False, description="route by tenant")
    mode: Literal["header", "api_key", "static"] = Field("header", description="where the tenant is read from")
    header_name: HeaderName = Field("X-Miroir-Tenant", description="the header, for `header`")
    fallback: Literal["hash", "random", "reject"] = Field("hash", description="what to do with an unknown tenant")
    static_map: dict[str, Count] = Field({}, description="tenant: replica group")
    dedicated_groups: tuple[Count, ...] = Field((), description="groups that serve mapped tenants only")


class ShadowTarget(Section):
    """Another cluster that is asked the same searches."""

    name: Text = Field(description="name in metrics and reports")
    url: SecretHttpUrl = Field(repr=False, description="where it answers")
    api_key_env: OptionalEnvName = Field("", description="environment variable with its key")
    sample_rate: Share = Field(0.01, description="share of searches repeated")
    indexes: tuple[IndexUid, ...] = Field((), description="only these indexes; none: all")


class Shadow(Section):
    """Searches repeated against another cluster, and compared."""

    enabled: bool = Field(False, description="repeat searches")
    targets: tuple[ShadowTarget, ...] = Field((), description="the clusters to compare with")
    diff_buffer_size: Positive = Field(10_000, description="differences kept")
    max_shadow_latency_ms: Positive = Field(5000, description="a shadow call is given up after this time")
    max_in_flight: Positive = Field(64, description="shadow calls under way; more are left out")


class CanaryAssertions(Section):
    """What a canary's answer must fulfil; what is not named is not asked for."""

    top_hit_id: DocumentId | None = Field(None, description="id of the first hit")
    top_k_contains: tuple[DocumentId, ...] = Field((), description="ids among the hits")
    min_hits: Count | None = Field(None, description="least number of hits")
    max_p95_ms: Positive | None = Field(None, description="95th percentile of the latency")
    settings_version_at_least: Count | None = Field(None, description="settings version of the index")
    must_not_contain_id: DocumentId | None = Field(None, description="id that must not be among the hits")


class Canary(Section):
    """A search asked on a schedule, with what its answer must fulfil."""

    id: Text = Field(description="name of the canary")
    index: IndexUid = Field(description="index or alias asked")
    query: JsonObject = Field({}, description="body of the search")
    interval_s: Positive = Field(60, description="time between two runs")
    enabled: bool = Field(True, description="run it")
    assertions: CanaryAssertions = CanaryAssertions()


class CanaryRunner(Section):
    """Searches that watch over the answers."""

    enabled: bool = Field(True, description="run canaries")
    max_concurrent_canaries: Positive = Field(10, description="runs at the same time")
    run_history_per_canary: Positive = Field(100, description="runs kept per canary")
    emit_results_to_cdc: bool = Field(True, description="publish failures as change events")
    canaries: tuple[Canary, ...] = Field((), description="the canaries known from the start")


class Explain(Section):
    """`POST /indexes/{uid}/explain`."""

    enabled: bool = Field(True, description="offer explain")
    max_warnings: Count = Field(20, description="most warnings in one answer")
    allow_execute_parameter: bool = Field(True, description="allow `?execute=true`")
