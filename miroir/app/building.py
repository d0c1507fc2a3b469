"""From a configuration to services: who gets what. Nothing else builds any.

What the store holds is loaded here, before anything is served.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast
from uuid import uuid4

from miroir.admin import DumpUpload, SettingsPreview, create_admin_app
from miroir.admin.overview import coverage, shard_counts
from miroir.api import (
    Admission,
    Aside,
    BatchResource,
    BodyBudget,
    Clients,
    DataPlane,
    DocumentResource,
    FeatureResource,
    IdempotencyKeys,
    IndexResource,
    KeyResource,
    MultiSearchResource,
    NameResource,
    Router,
    SearchResource,
    SelectionResource,
    SettingsResource,
    SystemResource,
    TaskResource,
    UnknownPaths,
    WebhookResource,
    register_refused,
)
from miroir.app.topology import load_topology
from miroir.cluster import Cluster, Features, Holds, Lanes, Prober, Thresholds, Verdicts, Writer
from miroir.config import Config, Secrets
from miroir.http import ASGIApp, Pool
from miroir.indexes import (
    AliasService,
    Aligner,
    BroadcastKnobs,
    DriftCheck,
    GarbageCollector,
    IndexService,
    Naming,
    NodeIndex,
    NodeVersions,
    Registry,
    SettingsBroadcast,
    SettingsChanges,
    Strays,
    client_text,
)
from miroir.ingest import Changes, DocumentWriter, Inequalities, edition_text
from miroir.nodes import NodeClient, Observer
from miroir.rebalance import IntentExpiry, NodeCopies, Repairer, StaleAllocation
from miroir.search import (
    Bounds,
    DocumentReader,
    FederatedSearch,
    KnownAttributes,
    Planner,
    Scatter,
    SearchService,
    SimilarDocuments,
    VectorKnobs,
    VectorSearch,
)
from miroir.security import AdminDoor, DataDoor, Keyring, KeyService, KeySync
from miroir.store import Store, TaskRow
from miroir.tasks import Canceler, Deleter, Pruner, Snapshots, TaskTracker, Webhooks
from miroir.telemetry import Metrics, get_logger
from miroir.upkeep import Doors, Dumped, DumpImports, Dumps, ImportKnobs, IndexExport

_log = get_logger(__name__)

_BODIES_HELD = 4
"""Request bodies of the largest size that may be in memory at once."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the doors and the supervisor need."""

    cluster: Cluster
    prober: Prober
    key_sync: KeySync
    metrics: Metrics
    refresh_metrics: Callable[[], Awaitable[None]]
    data_plane: DataPlane
    admin_app: ASGIApp
    dump_upload: DumpUpload
    workers: dict[str, Callable[[], Awaitable[None]]]


async def build(config: Config, secrets: Secrets, store: Store) -> Services:
    """Build everything over an open store. Asks no node yet."""
    rng = Random()
    peer = f"{pod_id()}:{uuid4().hex[:8]}"
    metrics = Metrics()
    topology = await load_topology(config, store)
    anti_entropy = config.anti_entropy.enabled
    exact_ties = config.scatter.exact_ties
    node_timeout_s = config.scatter.node_timeout_ms / 1000.0

    cluster = Cluster(
        topology,
        _connector(config, secrets, metrics),
        thresholds=Thresholds(config.health.unhealthy_threshold, config.health.recovery_threshold),
        latency_half_life_ms=config.replica_selection.ewma_half_life_ms,
    )
    store.watch_in_sync(cluster.apply_in_sync)
    cluster.load_in_sync(await store.load_in_sync())
    prober = Prober(
        cluster,
        store,
        await store.cluster_id(),
        interval_s=config.health.interval_ms / 1000.0,
        timeout_s=config.health.timeout_ms / 1000.0,
        rng=rng,
    )
    features = Features(cluster, store, node_timeout_s=node_timeout_s)
    await features.load()
    prober.before_use(features.prepare)
    registry = Registry(exact_ties=exact_ties, resolved=metrics.alias_resolved)
    registry.load(await store.list_indexes())

    def clean(task: TaskRow, text: str) -> str:
        return edition_text(task, client_text(registry, task, text))

    tracker = TaskTracker(cluster, store, clean, metrics.task_reached)
    webhooks = Webhooks(store)
    await webhooks.load()
    tracker.on_ended(webhooks.ended)
    holds, lanes = Holds(store), Lanes()
    writer = Writer(
        cluster,
        store,
        holds,
        lanes,
        tracker.follow,
        peer=peer,
        policy=config.scatter.write_quorum,
        node_timeout_s=max(node_timeout_s, config.server.request_timeout_ms / 2000.0),
        patience_s=config.server.request_timeout_ms / 2000.0,
    )
    node_index = NodeIndex(exact_ties=exact_ties, anti_entropy=anti_entropy)
    indexes = IndexService(
        cluster,
        store,
        writer,
        tracker,
        registry,
        node_index=node_index,
        default_shards=config.shards,
        keep_targets=config.aliases.require_target_exists,
    )
    versions = NodeVersions(cluster, store, registry)
    aligner = Aligner(cluster, registry, indexes, lanes, versions, node_index)
    broadcast = SettingsBroadcast(
        cluster,
        store,
        tracker,
        registry,
        versions,
        aligner,
        node_index,
        metrics,
        BroadcastKnobs(
            verify_timeout_s=config.settings_broadcast.verify_timeout_s,
            max_repair_retries=config.settings_broadcast.max_repair_retries,
            freeze_writes_on_unrepairable=config.settings_broadcast.freeze_writes_on_unrepairable,
            in_turn=config.settings_broadcast.strategy == "sequential",
        ),
    )
    broadcast.load(await store.open_tasks())
    changes = SettingsChanges(
        cluster, registry, indexes, writer, versions, node_index, strategy=config.settings_broadcast.strategy
    )
    drift = DriftCheck(
        cluster,
        registry,
        versions,
        aligner,
        node_index,
        metrics,
        interval_s=config.settings_drift_check.interval_s,
        auto_repair=config.settings_drift_check.auto_repair,
    )
    garbage = GarbageCollector(cluster, store, tracker, indexes, lanes)
    strays = Strays(cluster, store, garbage)
    documents = DocumentWriter(
        registry,
        indexes,
        tracker,
        writer,
        reject_missing_key=config.write.missing_primary_key == "reject",
        anti_entropy=anti_entropy,
    )
    planner = Planner(cluster)
    scatter = Scatter(
        cluster,
        planner,
        metrics,
        indexes.may_lack,
        node_timeout_s=node_timeout_s,
        retry_on_timeout=config.scatter.retry_on_timeout,
    )
    policy = config.scatter.unavailable_shard_policy
    attributes = KnownAttributes(scatter, planner, lambda physical_uid: registry.behind(physical_uid) is not None)
    reader = DocumentReader(scatter, planner, policy, attributes)
    inequalities = Inequalities(tracker, attributes.find, patience_s=config.server.request_timeout_ms / 2000.0)
    document_changes = Changes(registry, tracker, writer, inequalities)
    naming = Naming(
        store,
        registry,
        indexes,
        tracker,
        holds,
        reader.count,
        peer=peer,
        patience_s=config.server.request_timeout_ms / 2000.0,
        keep_targets=config.aliases.require_target_exists,
    )
    await naming.load()
    aliases = AliasService(
        store,
        registry,
        indexes,
        metrics.alias_flipped,
        keep_flips=config.aliases.history_retention,
        require_target=config.aliases.require_target_exists,
    )
    if config.aliases.enabled:
        await aliases.load()
    vectors = VectorKnobs(
        config.vector_search.enabled,
        config.vector_search.over_fetch_factor,
        config.vector_search.merge_strategy,
        config.vector_search.hybrid_alpha_default,
        config.vector_search.rrf_k,
    )
    searches = SearchService(scatter, policy, VectorSearch(scatter, planner, policy, vectors), attributes)
    similar = SimilarDocuments(scatter, planner, policy, vectors, attributes)
    copies = NodeCopies(cluster, store, registry, aligner, batch_size=config.rebalancer.migration_batch_size)
    repairer = Repairer(
        cluster, store, registry, tracker, holds, copies, peer=peer, hold_ms=config.rebalancer.cutover_hold_ms
    )
    expiry = IntentExpiry(store)
    # One process owns a SQLite store: whatever intents are there were left by processes before it.
    left = await expiry.expire_left_behind(frozenset(intent.peer for intent in await store.open_intents()))
    # One to no shard was a change of settings: nobody knows which nodes it reached.
    versions.load(await store.list_node_settings(), {intent.physical_uid for intent in left if not intent.shards})
    canceler, deleter = Canceler(cluster, store, tracker), Deleter(cluster, store, tracker)
    pruner = Pruner(store, config.task_registry, config.idempotency)

    keyring = Keyring()
    key_sync = KeySync(cluster, store, keyring, node_key=secrets.node_master_key, node_timeout_s=node_timeout_s)
    api_keys = KeyService(cluster, store, keyring, key_sync, node_timeout_s=node_timeout_s)
    await api_keys.recover()

    verdicts = Verdicts(cluster, node_timeout_s=node_timeout_s)
    keys = None
    if config.idempotency.enabled:
        keys = IdempotencyKeys(store, metrics, ttl_s=config.idempotency.ttl_seconds)
    dumps = Dumps(
        Dumped(store, cluster, registry, api_keys, features, webhooks),
        tracker,
        IndexExport(scatter, planner, registry),
        Path(config.dumps.path),
    )
    admission = Admission(config.server.max_concurrent_requests)
    aside = Aside(admission)
    clients = Clients()
    search_bounds = Bounds(
        config.multi_search.per_query_timeout_ms / 1000.0,
        config.multi_search.total_timeout_ms / 1000.0,
        config.multi_search.max_concurrent_queries,
    )
    router = Router()
    for routes in (
        SystemResource(cluster, registry, reader, default_shards=config.shards, node_timeout_s=node_timeout_s),
        IndexResource(registry, indexes, verdicts),
        SettingsResource(registry, changes, verdicts, features),
        NameResource(naming, verdicts),
        DocumentResource(registry, documents, reader, verdicts, aside),
        SelectionResource(document_changes, verdicts, aside, anti_entropy=anti_entropy),
        SearchResource(registry, searches, similar, verdicts),
        MultiSearchResource(
            registry,
            searches,
            FederatedSearch(scatter, policy, vectors, search_bounds, attributes, features.federate),
            features,
            verdicts,
            search_bounds,
            max_queries=config.multi_search.max_queries_per_batch,
        ),
        KeyResource(api_keys, verdicts),
        TaskResource(store, tracker, canceler, deleter, Snapshots(cluster, store, tracker), dumps),
        BatchResource(store),
        WebhookResource(webhooks, verdicts),
        FeatureResource(features, verdicts),
    ):
        routes.register(router)
    register_refused(router)
    data_plane = DataPlane(
        router,
        DataDoor(secrets.master_key, keyring, key_sync),
        admission,
        BodyBudget(_BODIES_HELD * config.server.max_body_bytes, largest=config.server.max_body_bytes),
        metrics,
        timeout_s=config.server.request_timeout_ms / 1000.0,
        rng=rng,
        clients=clients,
        keys=keys,
        unknown=UnknownPaths(cluster, node_timeout_s=node_timeout_s).answer,
    )

    async def refresh_metrics() -> None:
        """Gauges that are facts about the cluster, taken when somebody looks."""
        covered = coverage(cluster, registry, config.shards)
        metrics.set_shards(coverage=1.0 - covered.uncovered / covered.shards, degraded=covered.degraded)
        metrics.set_shard_distribution(shard_counts(cluster, registry, config.shards))
        for node, health in cluster.health.items():
            metrics.set_node_healthy(node, healthy=health.status == "healthy")
            metrics.set_node_pool(node, *cluster.clients[node].pool)
        metrics.set_settings(
            {index.uid: index.row.settings_version for index in registry.all()},
            frozen=sum(index.row.frozen for index in registry.all()),
            stale=sum(len(versions.stale(index)) for index in registry.all()),
        )
        metrics.set_request_queue_depth(admission.waiting)
        if keys is not None:
            metrics.set_idempotency_cache_size(await store.count_idempotency())
        metrics.set_tasks(
            oldest_open_seconds=tracker.oldest_open_s(), registered=sum((await store.count_tasks()).values())
        )

    imports = DumpImports(
        store,
        Doors(
            store,
            registry,
            tracker,
            indexes,
            naming,
            changes,
            documents,
            document_changes,
            api_keys,
            features,
            webhooks,
        ),
        ImportKnobs(
            batch_size=config.dump_import.batch_size,
            parallel_target_writes=config.dump_import.parallel_target_writes,
            memory_buffer_bytes=config.dump_import.memory_buffer_bytes,
            max_bytes=config.dump_import.max_bytes,
            longest_document=config.server.max_body_bytes,
            anti_entropy=anti_entropy,
        ),
        Path(config.dumps.path) / "import",
    )
    await imports.load()
    admin_door = AdminDoor(secrets.admin_keys)
    admin_app = create_admin_app(
        cluster,
        registry,
        admin_door,
        metrics,
        refresh_metrics,
        SettingsPreview(cluster, registry, versions, verdicts, anti_entropy=anti_entropy),
        StaleAllocation(cluster, store, registry, copies),
        default_shards=config.shards,
        aliases=aliases if config.aliases.enabled else None,
        imports=imports,
    )
    return Services(
        cluster=cluster,
        prober=prober,
        key_sync=key_sync,
        metrics=metrics,
        refresh_metrics=refresh_metrics,
        data_plane=data_plane,
        admin_app=cast(ASGIApp, admin_app),
        dump_upload=DumpUpload(imports, admin_door),
        workers={
            "prober": prober.run,
            "keys": key_sync.run,
            "tasks": tracker.run,
            "follow-ups": tracker.run_follow_ups,
            "settings": broadcast.run,
            "settings drift": drift.run,
            "cancelations": canceler.run,
            "deletions": deleter.run,
            "garbage": garbage.run,
            "names": naming.run,
            "strays": strays.run,
            "repair": repairer.run,
            "intents": expiry.run,
            "pruner": pruner.run,
            "webhooks": webhooks.run,
            "clients": clients.run,
            "dump imports": imports.run,
            "dumps": dumps.run,
        },
    )


def _connector(config: Config, secrets: Secrets, metrics: Metrics) -> Callable[[str, str, Observer], NodeClient]:
    limits = config.connection_pool_per_node
    key = secrets.node_master_key
    headers = () if key is None else ((b"authorization", b"Bearer " + key.encode()),)

    def connect(node: str, address: str, observe: Observer) -> NodeClient:
        def observed(node: str, operation: str, seconds: float, error: str | None) -> None:
            if error is None:
                metrics.node_answered(node, operation, seconds)
            elif error != "cancelled":
                metrics.node_failed(node, error)
            observe(node, operation, seconds, error)

        pool = Pool(
            address,
            max_idle=limits.max_idle,
            max_total=limits.max_total,
            idle_timeout_s=float(limits.idle_timeout_s),
            default_headers=headers,
        )
        return NodeClient(node, pool, observed)

    return connect


def pod_id() -> str:
    """The name of this process's place: the pod's, else the host's."""
    return os.environ.get("POD_NAME") or socket.gethostname()
