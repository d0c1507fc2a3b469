"""Latency of a node as an exponentially weighted mean: recent calls count most, old ones fade with time."""

from __future__ import annotations

from math import exp2


class LatencyMeter:
    """Mean and spread of a node's answer times, in milliseconds, forgetting half of it every `half_life_ms`."""

    __slots__ = ("_half_life_ms", "_last_ms", "_mean", "_square", "_weight")

    def __init__(self, half_life_ms: float) -> None:
        self._half_life_ms = half_life_ms
        self._weight = 0.0
        self._mean = 0.0
        self._square = 0.0
        self._last_ms = 0.0

    def record(self, latency_ms: float, now_ms: float) -> None:
        """Take one answer time into account."""
        # A clock that was set back fades nothing; without the bound it would blow the weight up.
        self._weight *= exp2(min(self._last_ms - now_ms, 0.0) / self._half_life_ms)
        self._last_ms = now_ms
        self._weight += 1.0
        share = 1.0 / self._weight
        self._mean += (latency_ms - self._mean) * share
        self._square += (latency_ms * latency_ms - self._square) * share

    @property
    def mean_ms(self) -> float:
        """The weighted mean; 0 before the first answer."""
        return self._mean

    @property
    def p95_ms(self) -> float:
        """An estimate of the 95th percentile, as if the logarithms were spread evenly: mean + 1.645 deviations."""
        variance = self._square - self._mean * self._mean
        return self._mean + 1.645 * (variance**0.5 if variance > 0.0 else 0.0)
