"""The latency meter beside the sums it stands for."""

from __future__ import annotations

from itertools import accumulate
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.cluster.latency import LatencyMeter

_GAPS = st.floats(0.0, 20_000.0)
_LATENCIES = st.floats(0.01, 60_000.0)


@settings(deadline=None)
@given(st.lists(st.tuples(_GAPS, _LATENCIES), min_size=1, max_size=30), st.floats(1.0, 60_000.0))
def test_like_the_weighted_sums(answers: list[tuple[float, float]], half_life: float) -> None:
    meter = LatencyMeter(half_life)
    times = [1.7e12 + passed for passed in accumulate(gap for gap, _ in answers)]
    for at, (_, latency) in zip(times, answers, strict=True):
        meter.record(latency, at)
    weights = [0.5 ** ((times[-1] - at) / half_life) for at in times]
    mean = sum(weight * latency for weight, (_, latency) in zip(weights, answers, strict=True)) / sum(weights)
    assert meter.mean_ms == pytest.approx(mean, rel=1e-6)
    squares = sum(weight * (latency - mean) ** 2 for weight, (_, latency) in zip(weights, answers, strict=True))
    largest = max(latency for _, latency in answers)
    # The spread is a difference of squares: exact as far as the largest of them allows.
    assert meter.p95_ms == pytest.approx(mean + 1.645 * sqrt(squares / sum(weights)), rel=1e-5, abs=1e-5 * largest)


def test_nothing_yet() -> None:
    meter = LatencyMeter(5000.0)
    assert meter.mean_ms == 0.0
    assert meter.p95_ms == 0.0


def test_half_is_forgotten_in_a_half_life() -> None:
    meter = LatencyMeter(5000.0)
    meter.record(100.0, 0.0)
    meter.record(10.0, 5000.0)
    assert meter.mean_ms == pytest.approx((0.5 * 100.0 + 10.0) / 1.5)
    meter.record(1.0, 5000.0 * 60)
    assert meter.mean_ms == pytest.approx(1.0)


def test_a_clock_that_is_set_back() -> None:
    """By an hour, or by years: the meter goes on, and what comes after counts as it should."""
    meter = LatencyMeter(5000.0)
    now = 1.77e12
    for _ in range(20):
        now += 10.0
        meter.record(50.0, now)
    for back in (3.6e6, 1e11):
        now -= back
        meter.record(50.0, now)
        assert meter.mean_ms == pytest.approx(50.0)
        for _ in range(20):
            now += 5000.0
            meter.record(5.0, now)
        assert meter.mean_ms == pytest.approx(5.0, rel=1e-3)
        for _ in range(20):
            now += 5000.0
            meter.record(50.0, now)
        assert meter.mean_ms == pytest.approx(50.0, rel=1e-3)
