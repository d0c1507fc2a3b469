"""Histograms: the same page as prometheus-client's own."""

from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from miroir.telemetry import Metrics
from miroir.telemetry.histogram import Histogram

BOUNDS = (0.001, 0.25, 1.0, 30.0)
VALUES = (0.0, 0.001, 0.0011, 0.25, 1, 29.9, 30.0, 31.0, 1e9)


@pytest.mark.parametrize("labels", [(), ("node_id", "operation")])
def test_the_page_is_prometheus_clients(labels: tuple[str, ...]) -> None:
    Metrics()  # from now on nobody's creation times are on the page
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    their = prometheus_client.Histogram("miroir_x_seconds", "How long.", labels, buckets=BOUNDS, registry=theirs)
    our = Histogram("miroir_x_seconds", "How long.", labels, BOUNDS)
    ours.register(our)
    for series in [("n0", "search"), ("n1", "probe")] if labels else [()]:
        for value in VALUES:
            (their.labels(*series) if labels else their).observe(value)
            our.labels(*series).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_series_can_leave_the_page() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("miroir_x_seconds", "How long.", ("node_id",), BOUNDS)
    registry.register(histogram)
    histogram.labels("n0").observe(1.0)
    histogram.labels("n1").observe(1.0)
    histogram.remove("n0")
    histogram.remove("never seen")
    assert registry.get_sample_value("miroir_x_seconds_count", {"node_id": "n0"}) is None
    assert registry.get_sample_value("miroir_x_seconds_count", {"node_id": "n1"}) == 1


def test_labels_must_be_complete() -> None:
    with pytest.raises(ValueError, match="node_id"):
        Histogram("miroir_x_seconds", "How long.", ("node_id",), BOUNDS).labels()
