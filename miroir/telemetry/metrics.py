"""Miroir's own metrics: one registry, its families, and methods that say what happened.

Rooms do not touch prometheus-client: they call these methods, which find a bound child and move it. A family appears
on the page when its capability does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from miroir.telemetry.histogram import Histogram
from miroir.telemetry.labels import OTHER, Children
from miroir.telemetry.pressure import CGROUP_ROOT, read_pressure

_PREFIX: Final = "miroir_"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_FAN_OUT: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TASK_STATUSES: Final = ("enqueued", "processing", "succeeded", "failed", "canceled")
_KEY_OUTCOMES: Final = ("miss", "dedup", "waited", "resumed", "conflict")
_POOL_STATES: Final = ("in_use", "idle")
_STATUSES: Final = tuple(str(status) for status in range(100, 600))


class Metrics:
    """Everything the process counts. One per process; cheap enough for each test to have its own."""

    def __init__(self, *, cgroup_root: Path = CGROUP_ROOT) -> None:
        # Creation times would double the page, and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client has not annotated it
        self.registry = CollectorRegistry(auto_describe=False)
        self.begun = 0
        """Requests that came in."""
        self.ended = 0
        """Requests that were answered or given up."""
        self._requests()
        self._nodes()
        self._shards()
        self._tasks()
        self._settings()
        self._scatter()
        self._process()
        self.registry.register(_PressureCollector(cgroup_root))

    def render(self) -> tuple[bytes, str]:
        """The page in Prometheus' text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    # Requests

    def request_started(self) -> None:
        """A request came in; it is in flight until `request_finished`."""
        self.begun += 1

    def request_finished(self, method: str, path_template: str, status: int, seconds: float) -> None:
        """One answer. `path_template` is the route's, never the path; a method nobody knows counts as `other`."""
        self.ended += 1
        code = _STATUSES[status - 100] if 100 <= status < 600 else OTHER
        self._request_seconds.get(method if method in _METHODS else OTHER, path_template, code).observe(seconds)

    def set_request_queue_depth(self, waiting: int) -> None:
        """Requests that wait for one of the `max_concurrent_requests` places."""
        self._queue_depth.set(waiting)

    # Nodes

    def node_answered(self, node_id: str, operation: str, seconds: float) -> None:
        """A call to a node came back, with whatever answer."""
        self._node_seconds.get(node_id, operation).observe(seconds)

    def node_failed(self, node_id: str, error_type: str) -> None:
        """A call to a node failed; `error_type` is one of a fixed few, such as `timeout` or `connect`."""
        self._node_errors.get(node_id, error_type).inc()

    def set_node_healthy(self, node_id: str, *, healthy: bool) -> None:
        self._node_healthy.get(node_id).set(1 if healthy else 0)

    def set_node_pool(self, node_id: str, in_use: int, idle: int, waiting: int) -> None:
        """Connections to a node that carry a call, those without work, and calls that wait for one."""
        for state, count in zip(_POOL_STATES, (in_use, idle), strict=True):
            self._pool_connections.get(node_id, state).set(count)
        self._pool_waiting.get(node_id).set(waiting)

    def keep_nodes(self, node_ids: Iterable[str]) -> None:
        """Drop the gauges of nodes that have left the topology, so that they do not look alive or ill for ever."""
        kept = [(node_id,) for node_id in node_ids]
        self._node_healthy.forget_all_but(kept)
        self._pool_waiting.forget_all_but(kept)
        self._pool_connections.forget_all_but([(node_id, state) for (node_id,) in kept for state in _POOL_STATES])
        self._distribution.forget_all_but(kept)

    # Shards

    def set_shards(self, *, coverage: float, degraded: int) -> None:
        """`coverage` is the share of shards somebody can read (0 to 1); `degraded` counts those short of copies."""
        self._coverage.set(coverage)
        self._degraded.set(degraded)

    def set_shard_distribution(self, shards_by_node: Mapping[str, int]) -> None:
        """How many shards each node holds. Nodes not named leave the page."""
        self._distribution.forget_all_but([(node_id,) for node_id in shards_by_node])
        for node_id, count in shards_by_node.items():
            self._distribution.get(node_id).set(count)

    # Tasks

    def task_reached(self, status: str) -> None:
        """A task of ours took this status."""
        self._tasks_total.get(status).inc()

    def set_tasks(self, *, oldest_open_seconds: float, registered: int) -> None:
        """Age of the oldest task that is not done (0 without one), and how many tasks are known."""
        self._task_age.set(oldest_open_seconds)
        self._task_count.set(registered)

    # Settings

    def settings_phase(self, index: str, phase: int) -> None:
        """How far the change of an index's settings is: 0 none, 1 proposed, 2 being verified, 3 being committed."""
        self._settings_phase.get(index).set(phase)

    def settings_mismatched(self) -> None:
        """A node showed other settings than it should."""
        self._settings_mismatches.inc()

    def settings_drift_repaired(self) -> None:
        """A node that had drifted was mended."""
        self._settings_repairs.inc()

    def set_settings(self, versions: Mapping[str, int], *, frozen: int, stale: int) -> None:
        """Committed version by index (those not named leave the page); frozen indexes; nodes behind, over all."""
        kept = [(index,) for index in versions]
        self._settings_version.forget_all_but(kept)
        self._settings_phase.forget_all_but(kept)
        for index, version in versions.items():
            self._settings_version.get(index).set(version)
        self._settings_frozen.set(frozen)
        self._settings_stale.set(stale)

    # Scatter

    def scattered(self, *, fan_out: int, retries: int = 0, partial: bool = False) -> None:
        """A search asked `fan_out` nodes and repeated `retries` calls; `partial`: it went without some shards."""
        self._fan_out.observe(fan_out)
        if retries:
            self._retries.inc(retries)
        if partial:
            self._partial.inc()

    # Idempotency

    def idempotency_key_seen(self, outcome: str) -> None:
        """A write under an `Idempotency-Key`: `miss`, `dedup`, `waited`, `resumed` or `conflict`."""
        self._keys_seen.get(outcome).inc()

    def set_idempotency_cache_size(self, keys: int) -> None:
        """How many keys are remembered."""
        self._keys_kept.set(keys)

    # The process

    def alias_resolved(self, alias: str) -> None:
        """A request named an index by this alias."""
        self._alias_resolutions.get(alias).inc()

    def alias_flipped(self, alias: str) -> None:
        """It stands for another index now."""
        self._alias_flips.get(alias).inc()

    def worker_restarted(self, worker: str) -> None:
        """A background worker crashed and was started again."""
        self._restarts.get(worker).inc()

    def set_feature_enabled(self, feature: str, *, enabled: bool) -> None:
        """Whether a capability is on; dashboards show its row by this."""
        self._features.get(feature).set(1 if enabled else 0)

    # Families

    def _requests(self) -> None:
        self._request_seconds = Children(
            self._histogram(
                "request_duration_seconds", "Time to answer a request.", ("method", "path_template", "status"), _SECONDS
            )
        )
        self.registry.register(_RequestCollector(self))
        self._queue_depth = self._gauge("request_queue_depth", "Requests waiting for a place.")

    def _nodes(self) -> None:
        self._node_healthy = Children(self._gauge("node_healthy", "1 if the node answers probes.", ("node_id",)))
        self._node_seconds = Children(
            self._histogram(
                "node_request_duration_seconds", "Time of a call to a node.", ("node_id", "operation"), _SECONDS
            )
        )
        self._pool_connections = Children(
            self._gauge("node_pool_connections", "Connections to a node.", ("node_id", "state"))
        )
        self._pool_waiting = Children(
            self._gauge("node_pool_waiting", "Calls that wait for a connection to the node.", ("node_id",))
        )
        self._node_errors = Children(
            self._counter("node_errors_total", "Calls to a node that failed.", ("node_id", "error_type"))
        )

    def _shards(self) -> None:
        self._coverage = self._gauge("shard_coverage", "Share of the shards that can be read.")
        self._degraded = self._gauge("degraded_shards_total", "Shards short of copies.")
        self._distribution = Children(self._gauge("shard_distribution", "Shards a node holds.", ("node_id",)))

    def _tasks(self) -> None:
        self._task_age = self._gauge("task_processing_age_seconds", "Age of the oldest open task.")
        self._tasks_total = Children(self._counter("tasks_total", "Tasks that took a status.", ("status",)))
        self._task_count = self._gauge("task_registry_size", "Tasks known.")
        for status in _TASK_STATUSES:
            self._tasks_total.get(status)

    def _settings(self) -> None:
        self._settings_phase = Children(
            self._gauge("settings_broadcast_phase", "0 none, 1 proposed, 2 verifying, 3 committing.", ("index",))
        )
        self._settings_version = Children(self._gauge("settings_version", "Committed version.", ("index",)))
        self._settings_frozen = self._gauge("settings_frozen_indexes", "Indexes that take no writes.")
        self._settings_stale = self._gauge("settings_stale_nodes", "Nodes behind, over all indexes.")
        self._settings_mismatches = self._counter("settings_hash_mismatch_total", "Nodes seen with other settings.")
        self._settings_repairs = self._counter("settings_drift_repair_total", "Nodes that had drifted and were mended.")

    def _scatter(self) -> None:
        self._fan_out = self._histogram("scatter_fan_out_size", "Nodes asked for one search.", (), _FAN_OUT).labels()
        self._partial = self._counter("scatter_partial_responses_total", "Searches answered without some shards.")
        self._retries = self._counter("scatter_retries_total", "Calls repeated on another copy.")

    def offer_idempotency(self) -> None:
        """`Idempotency-Key` is honoured: its families appear."""
        self._keys_seen = Children(
            self._counter(
                "idempotency_hits_total", "Writes under an Idempotency-Key, by what came of it.", ("outcome",)
            )
        )
        self._keys_kept = self._gauge("idempotency_cache_size", "Idempotency keys remembered.")
        for outcome in _KEY_OUTCOMES:
            self._keys_seen.get(outcome)

    def _process(self) -> None:
        self._alias_resolutions = Children(
            self._counter("alias_resolutions_total", "Requests that named an index by an alias.", ("alias",)), capped=0
        )
        self._alias_flips = Children(self._counter("alias_flips_total", "Flips of an alias.", ("alias",)), capped=0)
        self._restarts = Children(self._counter("worker_restarts_total", "Workers started again.", ("worker",)))
        self._features = Children(self._gauge("feature_enabled", "1 if the capability is on.", ("feature",)))

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(_PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(_PREFIX + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(_PREFIX + name, text, labels, buckets)
        self.registry.register(histogram)
        return histogram


class _RequestCollector(Collector):
    """Two plain numbers that every request moves, and what they say."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        begun, ended = self._metrics.begun, self._metrics.ended
        yield CounterMetricFamily(f"{_PREFIX}requests_total", "Requests answered.", ended)
        yield GaugeMetricFamily(
            f"{_PREFIX}requests_in_flight", "Requests under way, waiting ones included.", begun - ended
        )


class _PressureCollector(Collector):
    """Reads the control group when the page is asked for, so that nothing has to run in between."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def collect(self) -> Iterator[Metric]:
        pressure = read_pressure(self._root)
        yield GaugeMetricFamily(
            f"{_PREFIX}memory_pressure", "0, 1 over 75 %, 2 over 90 % of the memory limit.", pressure.memory
        )
        yield CounterMetricFamily(
            f"{_PREFIX}cpu_throttled_seconds",
            "Time the scheduler held the process back.",
            pressure.cpu_throttled_seconds,
        )
