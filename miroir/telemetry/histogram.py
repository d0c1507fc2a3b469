"""Histograms that cost a request next to nothing: plain numbers, made into buckets when somebody reads the page.

prometheus-client takes a lock for each number it moves, twice for an observation, and looks through the buckets one by
one; everything here happens on the one loop, so there is nobody to lock out. A search makes five observations.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Observations:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many fell into each bucket alone; the last holds what is beyond every bound."""
        self.total = 0.0
        """The sum of all."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Histogram(Collector):
    """A family of series, one for each tuple of label values; without labels there is one from the start.

    `bounds` are the upper ones of the buckets, inclusive, ascending; the one without bound comes by itself.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._bounds = tuple(bounds)
        # prometheus-client has not annotated it
        self._names = [*[floatToGoString(bound) for bound in bounds], "+Inf"]  # type: ignore[no-untyped-call]
        self._series: dict[tuple[str, ...], Observations] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> Observations:
        """The series with these values of the labels, in their order; made when it is asked for first."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {', '.join(self._labels)}")
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Observations(self._bounds)
        return series

    def remove(self, *values: str) -> None:
        """Take a series out of the page."""
        self._series.pop(values, None)

    def collect(self) -> Iterator[Metric]:
        """The family as prometheus-client writes it: every bucket with all the smaller ones in it."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            buckets = list(zip(self._names, accumulate(series.counts), strict=True))
            family.add_metric(values, buckets, series.total)
        yield family
