"""The composition root: from a configuration to a running server. Nothing else builds services.

Order of life: the store opens, the topology is taken from it (or seeded from the configuration), nodes are looked at
once, the doors open, workers start. On SIGTERM the doors close first, what runs finishes within the grace, then workers
end and the store closes.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import cast
from uuid import uuid4

import trio

from miroir.admin import DumpUpload, SettingsPreview, create_admin_app, is_upload
from miroir.admin.overview import coverage, shard_counts
from miroir.api import (
    Admission,
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
from miroir.cluster import (
    Cluster,
    Features,
    ForeignNode,
    Holds,
    Lanes,
    Node,
    Prober,
    Thresholds,
    Topology,
    Verdicts,
    Writer,
    seed,
)
from miroir.config import Config, Secrets, set_in_vain
from miroir.coordination import Supervisor
from miroir.http import (
    HTTP_1,
    HTTP_2,
    ASGIApp,
    BadCertificate,
    Listener,
    Message,
    Pool,
    Receive,
    Scope,
    Send,
    ServerLimits,
    inherited_sockets,
    listeners_from,
    open_listeners,
    server_tls,
)
from miroir.http import serve as serve_http
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
from miroir.ingest import Changes, DocumentWriter, edition_text
from miroir.nodes import NodeClient, Observer
from miroir.rebalance import IntentExpiry, NodeCopies, Repairer, StaleAllocation
from miroir.search import (
    Bounds,
    DocumentReader,
    FederatedSearch,
    Planner,
    Scatter,
    SearchService,
    SimilarDocuments,
    VectorKnobs,
    VectorSearch,
)
from miroir.security import AdminDoor, DataDoor, Keyring, KeyService, KeySync
from miroir.store import Store, StoreError, TaskRow, TopologyRow
from miroir.store.sqlite import open_sqlite
from miroir.tasks import Canceler, Deleter, Pruner, Snapshots, TaskTracker, Webhooks
from miroir.telemetry import Metrics, configure_logging, get_logger
from miroir.upkeep import Doors, Dumped, DumpImports, Dumps, ImportKnobs, IndexExport

_log = get_logger(__name__)


_BODIES_HELD = 4
"""Request bodies of the largest size that may be in memory at once."""


class StartupError(Exception):
    """The server cannot start; the message says what to do."""


def run(config: Config, secrets: Secrets) -> int:
    """Serve until SIGTERM or SIGINT. 0: stopped as asked; 1: could not start, and said why on the log."""
    configure_logging(config.logging.level, config.logging.format, pod_id=_pod_id())
    # The store's thread must get its turn soon when the loop is busy: a begin took 1.3 ms under load instead of 4.9.
    sys.setswitchinterval(0.0005)
    _allow_many_sockets()
    status = 0
    try:
        trio.run(_serve_until_signalled, config, secrets)
    except* (StartupError, StoreError, ForeignNode, OSError) as failures:
        for failure in _leaves(failures):
            _log.error("cannot start", reason=str(failure))
        status = 1
    return status


def _allow_many_sockets() -> None:
    """Raise the soft limit of open files to the hard one: every client and every node connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve_until_signalled(config: Config, secrets: Secrets) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop)
        await serve(config, secrets, stop=stop)
        nursery.cancel_scope.cancel()


async def _stop_on_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("stopping", signal=signal.Signals(number).name)
            stop.set()
            return


async def serve(config: Config, secrets: Secrets, *, stop: trio.Event) -> None:
    """Build everything, serve until `stop`, take everything down in the opposite order.

    Raises `StartupError`, `StoreError`, `ForeignNode` or `OSError` (a port is taken) when it cannot start.
    """
    _check(config, secrets)
    tls = _tls(config)
    async with AsyncExitStack() as stack:
        # The ports come first: who cannot have them must not touch the store of who does.
        data_listeners, metrics_listeners = await _listen(stack, config)
        stack.enter_context(_sole_owner(Path(config.task_store.path)))
        store = await open_sqlite(Path(config.task_store.path))
        stack.push_async_callback(store.aclose)
        services = await _build(config, secrets, store)
        for client in services.cluster.clients.values():
            stack.push_async_callback(client.aclose)
        await services.prober.first_look()
        await services.key_sync.first_look()
        async with trio.open_nursery() as nursery:
            supervisor = Supervisor(nursery, services.metrics.worker_restarted)
            for name, worker in services.workers.items():
                supervisor.run(name, worker)
            async with _lifespan(services.admin_app):
                limits = ServerLimits(max_body_bytes=config.server.max_body_bytes)
                grace = float(config.server.shutdown_grace_s)
                serve_data = _engine(config)
                data_plane = _dispatch(services, config.admin.enabled)
                doors_to = (
                    (serve_data, data_plane, _secured(data_listeners, tls)),
                    (serve_http, _metrics_app(services), metrics_listeners),
                )
                async with trio.open_nursery() as doors:
                    for serve_door, app, listeners in doors_to:
                        doors.start_soon(
                            partial(
                                serve_door,
                                app,
                                listeners,
                                limits=limits,
                                body_limit=partial(_body_limit, limits),
                                shutdown_grace_s=grace,
                                stop=stop,
                            )
                        )
                    port = data_listeners[0].socket.getsockname()[1]
                    metrics_port = metrics_listeners[0].socket.getsockname()[1]
                    _log.info("ready to serve", port=port, metrics_port=metrics_port, tls=tls is not None)
            nursery.cancel_scope.cancel()


# -- building --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Services:
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


async def _build(config: Config, secrets: Secrets, store: Store) -> _Services:
    rng = Random()
    peer = f"{_pod_id()}:{uuid4().hex[:8]}"
    metrics = Metrics()
    topology = await _topology(config, store)
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
        max_body_bytes=config.server.max_body_bytes,
        reject_missing_key=config.write.missing_primary_key == "reject",
        anti_entropy=anti_entropy,
    )
    document_changes = Changes(registry, tracker, writer)
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
    reader = DocumentReader(scatter, planner, policy)
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
    searches = SearchService(scatter, policy, VectorSearch(scatter, planner, policy, vectors))
    similar = SimilarDocuments(scatter, planner, policy, vectors)
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
        reader,
        IndexExport(scatter, planner, registry),
        Path(config.dumps.path),
    )
    admission = Admission(config.server.max_concurrent_requests)
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
        DocumentResource(registry, documents, reader, verdicts),
        SelectionResource(document_changes, verdicts, anti_entropy=anti_entropy),
        SearchResource(registry, searches, similar, verdicts),
        MultiSearchResource(
            registry,
            searches,
            FederatedSearch(scatter, policy, vectors, search_bounds, features.federate),
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
        degraded, uncovered = coverage(cluster, registry)
        total = sum(index.row.shards for index in registry.all())
        metrics.set_shards(coverage=1.0 if not total else 1.0 - uncovered / total, degraded=degraded)
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
    return _Services(
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


async def _topology(config: Config, store: Store) -> Topology:
    """The store's topology; the configuration's in a store that never had one."""
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
    known = {node.id for node in stored.nodes}
    strangers = sorted(node.id for node in nodes if node.id not in known)
    if strangers or len(nodes) != len(known):
        _log.warning(
            "the configuration names other nodes than the store, which wins",
            configured=sorted(node.id for node in nodes),
            stored=sorted(known),
        )
    return topology


def _check(config: Config, secrets: Secrets) -> None:
    if not config.nodes:
        raise StartupError("No nodes are configured. Name at least one under `miroir.nodes` in the configuration file.")
    if config.task_store.backend != "sqlite":
        raise StartupError("task_store.backend: redis is not built yet; use sqlite.")
    if config.server.workers > 1:
        raise StartupError("server.workers above 1 is not built yet; use 1.")
    in_vain = set_in_vain(config)
    if in_vain:
        _log.warning("configured in vain: not built yet", keys=in_vain)
    if secrets.master_key is None:
        _log.warning("no master key: the data plane stands open to everybody", set="MIROIR_MASTER_KEY")
    if not secrets.admin_keys:
        _log.warning("no admin key: /_miroir stays shut", set="MIROIR_ADMIN_API_KEY")


@contextmanager
def _sole_owner(store: Path) -> Iterator[None]:
    """Keep a second server off this store: it would take our running writes for those of a dead process."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f"{store.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"Another Miroir uses the store {store}. Stop it, or name another store.") from None
        yield


# -- doors -----------------------------------------------------------------------------------------------------------


async def _listen(stack: AsyncExitStack, config: Config) -> tuple[list[trio.SocketListener], list[trio.SocketListener]]:
    """The listeners of the data plane and of the metrics: inherited under the names `data` and `metrics`, or opened."""
    try:
        inherited = inherited_sockets(os.environ)
        strangers = sorted(set(inherited) - {"data", "metrics"})
        if strangers:
            raise ValueError(f"LISTEN_FDNAMES: {', '.join(strangers)}; the names are data and metrics")
        found = {name: listeners_from(sockets) for name, sockets in inherited.items()}
    except ValueError as failure:
        raise StartupError(f"Inherited sockets: {failure}.") from None
    ports = {"data": config.server.port, "metrics": config.server.metrics_port}
    for name, port in ports.items():
        if name not in found:
            found[name] = await open_listeners(config.server.bind, port)
        for listener in found[name]:
            stack.push_async_callback(trio.aclose_forcefully, listener)
    return found["data"], found["metrics"]


def _tls(config: Config) -> ssl.SSLContext | None:
    """The data plane's TLS. Raises `StartupError` for files that cannot be used."""
    files = config.server.tls
    if not files.cert:
        return None
    protocols = HTTP_2 if config.server.engine == "hypercorn" else HTTP_1
    try:
        return server_tls(Path(files.cert), Path(files.key), protocols=protocols)
    except BadCertificate as failure:
        raise StartupError(str(failure)) from None


def _secured(listeners: list[trio.SocketListener], tls: ssl.SSLContext | None) -> Sequence[Listener]:
    if tls is None:
        return listeners
    return [trio.SSLListener(listener, tls, https_compatible=True) for listener in listeners]


def _engine(config: Config) -> Callable[..., Awaitable[None]]:
    """Who serves the data plane."""
    if config.server.engine == "native":
        return serve_http
    from miroir.http.hypercorn_server import serve_with_hypercorn

    return serve_with_hypercorn


def _dispatch(services: _Services, admin_enabled: bool) -> ASGIApp:
    """`/_miroir` goes to the control plane, except readiness and what is too large for it; all else to the data plane.

    With `admin.enabled: false` there is no control plane: its paths are as unknown as any other.
    """
    data_plane, admin_app, dump_upload = services.data_plane, services.admin_app, services.dump_upload

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not (admin_enabled and path.startswith("/_miroir") and path != "/_miroir/ready"):
            await data_plane(scope, receive, send)
        elif is_upload(scope):
            await dump_upload(scope, receive, send)
        else:
            await admin_app(scope, receive, send)

    return dispatch


def _body_limit(limits: ServerLimits, scope: Scope) -> int | None:
    """A dump is written to the disk as it comes, and may be of any size; everything else is held in memory."""
    return None if is_upload(scope) else limits.max_body_bytes


def _metrics_app(services: _Services) -> ASGIApp:
    """The metrics port: `GET /metrics`, nothing else, no key."""

    async def metrics(scope: Scope, _: Receive, send: Send) -> None:
        status, body, content_type = 404, b"", "text/plain"
        if scope["path"] == "/metrics" and scope["method"] == "GET":
            await services.refresh_metrics()
            status = 200
            body, content_type = services.metrics.render()
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return metrics


@asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Run an ASGI app's lifespan around the block: exactly one start-up, exactly one shutdown."""
    to_app, app_receives = trio.open_memory_channel[Message](1)
    app_sends, from_app = trio.open_memory_channel[Message](1)

    async def run() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        await app(scope, app_receives.receive, app_sends.send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await to_app.send({"type": "lifespan.startup"})
        answer = await from_app.receive()
        if answer["type"] != "lifespan.startup.complete":
            raise StartupError(f"The control plane did not start: {answer.get('message', '')}")
        try:
            yield
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5.0):
                await to_app.send({"type": "lifespan.shutdown"})
                await from_app.receive()
            nursery.cancel_scope.cancel()


def _pod_id() -> str:
    return os.environ.get("POD_NAME") or socket.gethostname()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in group.exceptions:
        leaves += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return leaves
