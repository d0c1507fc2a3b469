"""The metrics page: families, labels, caps; and reading control groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from miroir.telemetry import Metrics
from miroir.telemetry.labels import OTHER, Children
from miroir.telemetry.pressure import (
    Pressure,
    memory_pressure,
    parse_limit,
    parse_stat,
    read_pressure,
    throttled_seconds,
    working_set_bytes,
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    page, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(page.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def family_names(metrics: Metrics) -> set[str]:
    lines = metrics.render()[0].decode().splitlines()
    return {line.split()[2] for line in lines if line.startswith("# TYPE")}


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(cgroup_root=tmp_path)


def test_the_families_of_the_main_job_are_there_from_the_start(metrics: Metrics) -> None:
    names = {
        "request_duration_seconds", "requests_total", "requests_in_flight", "request_queue_depth",
        "node_healthy", "node_request_duration_seconds", "node_errors_total",
        "node_pool_connections", "node_pool_waiting",
        "shard_coverage", "degraded_shards_total", "shard_distribution",
        "task_processing_age_seconds", "tasks_total", "task_registry_size",
        "settings_broadcast_phase", "settings_version", "settings_frozen_indexes", "settings_stale_nodes",
        "settings_hash_mismatch_total", "settings_drift_repair_total",
        "scatter_fan_out_size", "scatter_partial_responses_total", "scatter_retries_total",
        "alias_resolutions_total", "alias_flips_total",
        "memory_pressure", "cpu_throttled_seconds_total", "worker_restarts_total", "feature_enabled",
    }  # fmt: skip
    assert family_names(metrics) == {f"miroir_{name}" for name in names}


def test_a_request_is_counted_timed_and_in_flight_in_between(metrics: Metrics) -> None:
    metrics.request_started()
    assert samples(metrics)["miroir_requests_in_flight", ()] == 1
    metrics.request_finished("POST", "/indexes/{uid}/search", 200, 0.02)
    metrics.request_started()
    metrics.request_finished("BREW", "/indexes/{uid}/search", 999, 3.0)
    found = samples(metrics)
    labels = (("method", "POST"), ("path_template", "/indexes/{uid}/search"), ("status", "200"))
    odd = (("method", "other"), ("path_template", "/indexes/{uid}/search"), ("status", "other"))
    assert found["miroir_requests_in_flight", ()] == 0
    assert found["miroir_requests_total", ()] == 2
    assert found["miroir_request_duration_seconds_sum", labels] == 0.02
    assert found["miroir_request_duration_seconds_count", odd] == 1
    assert found["miroir_request_duration_seconds_bucket", (("le", "0.025"), *labels)] == 1
    assert found["miroir_request_duration_seconds_bucket", (("le", "0.01"), *labels)] == 0


def test_nodes_shards_tasks_and_scatters(metrics: Metrics) -> None:
    metrics.node_answered("n0", "search", 0.1)
    metrics.node_failed("n0", "timeout")
    metrics.set_node_healthy("n0", healthy=False)
    metrics.set_node_pool("n0", 3, 2, 1)
    metrics.set_shards(coverage=0.5, degraded=3)
    metrics.set_shard_distribution({"n0": 20, "n1": 44})
    metrics.task_reached("succeeded")
    metrics.set_tasks(oldest_open_seconds=1.5, registered=9)
    metrics.scattered(fan_out=3)
    metrics.scattered(fan_out=2, retries=2, partial=True)
    metrics.worker_restarted("probe")
    metrics.set_feature_enabled("hedging", enabled=True)
    metrics.set_request_queue_depth(7)
    found = samples(metrics)
    expected = {
        ("miroir_node_request_duration_seconds_count", (("node_id", "n0"), ("operation", "search"))): 1,
        ("miroir_node_errors_total", (("error_type", "timeout"), ("node_id", "n0"))): 1,
        ("miroir_node_healthy", (("node_id", "n0"),)): 0,
        ("miroir_node_pool_connections", (("node_id", "n0"), ("state", "in_use"))): 3,
        ("miroir_node_pool_connections", (("node_id", "n0"), ("state", "idle"))): 2,
        ("miroir_node_pool_waiting", (("node_id", "n0"),)): 1,
        ("miroir_shard_coverage", ()): 0.5,
        ("miroir_degraded_shards_total", ()): 3,
        ("miroir_shard_distribution", (("node_id", "n1"),)): 44,
        ("miroir_tasks_total", (("status", "succeeded"),)): 1,
        ("miroir_tasks_total", (("status", "failed"),)): 0,
        ("miroir_task_processing_age_seconds", ()): 1.5,
        ("miroir_task_registry_size", ()): 9,
        ("miroir_scatter_fan_out_size_sum", ()): 5,
        ("miroir_scatter_retries_total", ()): 2,
        ("miroir_scatter_partial_responses_total", ()): 1,
        ("miroir_worker_restarts_total", (("worker", "probe"),)): 1,
        ("miroir_feature_enabled", (("feature", "hedging"),)): 1,
        ("miroir_request_queue_depth", ()): 7,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_nodes_that_left_leave_the_page(metrics: Metrics) -> None:
    for node_id in ("n0", "n1"):
        metrics.set_node_healthy(node_id, healthy=True)
    metrics.set_shard_distribution({"n0": 1, "n1": 2})
    metrics.keep_nodes(["n1"])
    gauges = {key for key in samples(metrics) if key[0] in {"miroir_node_healthy", "miroir_shard_distribution"}}
    assert {labels for _, labels in gauges} == {(("node_id", "n1"),)}
    metrics.set_shard_distribution({"n2": 2})
    assert ("miroir_shard_distribution", (("node_id", "n1"),)) not in samples(metrics)


def test_two_registries_know_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = Metrics(cgroup_root=tmp_path), Metrics(cgroup_root=tmp_path)
    one.scattered(fan_out=1)
    assert samples(other)["miroir_scatter_fan_out_size_count", ()] == 0


class Family:
    """Stands for a family of prometheus-client: a child is the tuple of its labels."""

    def __init__(self) -> None:
        self.bound: list[tuple[str, ...]] = []

    def labels(self, *values: str) -> tuple[str, ...]:
        self.bound.append(values)
        return values

    def remove(self, *values: str) -> None:
        self.bound.remove(values)


def test_a_child_is_bound_once() -> None:
    family = Family()
    children = Children(family)
    assert children.get("a", "b") is children.get("a", "b")
    assert family.bound == [("a", "b")]
    children.forget("a", "b")
    children.forget("never", "there")
    assert family.bound == []


def test_an_unbounded_label_stops_at_its_cap() -> None:
    family = Family()
    children = Children(family, capped=1, cap=2)
    found = [children.get("query", name) for name in ("a", "b", "c", "a", "d", OTHER)]
    assert [labels[1] for labels in found] == ["a", "b", OTHER, "a", OTHER, OTHER]
    for number in range(1000):
        children.get("query", f"index-{number}")
    assert len(family.bound) == 3
    assert children.get("write", "b") == ("write", "b")


# Control groups


@pytest.mark.parametrize(
    ("used", "limit", "level"),
    [(75, 100, 0), (76, 100, 1), (90, 100, 1), (91, 100, 2), (200, 100, 2), (10**12, None, 0)],
)
def test_memory_pressure_has_three_levels(used: int, limit: int | None, level: int) -> None:
    assert memory_pressure(used, limit) == level


def test_the_files_of_both_versions_are_understood() -> None:
    assert parse_limit("1048576\n") == 1_048_576
    assert parse_limit("max\n") is None
    assert parse_limit("9223372036854771712\n") is None
    assert parse_limit("") is None
    assert parse_stat("nr_periods 3\nthrottled_usec 2500000\nbroken\nx y\n") == {
        "nr_periods": 3,
        "throttled_usec": 2_500_000,
    }
    assert throttled_seconds({"throttled_usec": 2_500_000}) == 2.5
    assert throttled_seconds({"throttled_time": 2_500_000_000}) == 2.5
    assert throttled_seconds({}) == 0
    assert working_set_bytes(100, {"inactive_file": 30}) == 70
    assert working_set_bytes(100, {"inactive_file": 30, "total_inactive_file": 130}) == 0


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_pressure_is_read_from_version_2(tmp_path: Path) -> None:
    files = {"cgroup.controllers": "cpu memory", "memory.current": "95", "memory.max": "100"}
    write(tmp_path, {**files, "memory.stat": "inactive_file 10\n", "cpu.stat": "throttled_usec 500000\n"})
    assert read_pressure(tmp_path) == Pressure(memory=1, cpu_throttled_seconds=0.5)
    page = samples(Metrics(cgroup_root=tmp_path))
    assert (page["miroir_memory_pressure", ()], page["miroir_cpu_throttled_seconds_total", ()]) == (1, 0.5)


def test_pressure_is_read_from_version_1(tmp_path: Path) -> None:
    files = {"memory/memory.usage_in_bytes": "95", "memory/memory.limit_in_bytes": "100"}
    write(tmp_path, {**files, "cpu/cpu.stat": "throttled_time 500000000\n"})
    assert read_pressure(tmp_path) == Pressure(memory=2, cpu_throttled_seconds=0.5)


def test_without_control_groups_there_is_no_pressure(tmp_path: Path) -> None:
    assert read_pressure(tmp_path / "none") == Pressure(memory=0, cpu_throttled_seconds=0.0)
