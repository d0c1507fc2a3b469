"""What the harness makes of its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.parts import Bench, Figure, Round
from bench.report import BASE, OURS, PLAIN, lines_of, markdown_of


class _Part:
    name: ClassVar[str] = "search"
    title: ClassVar[str] = "Searches"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("p50", "p50", "ms", budget="2 ms"),
        Figure("rate", "a second", "/s", more_is_better=True),
        Figure("never", "never measured", "s"),
    )

    def round(self, bench: Bench) -> Round:
        raise NotImplementedError


ROUNDS: Sequence[Round] = (
    {"p50": {PLAIN: 0.001, OURS: 0.002, BASE: 0.0016}, "rate": {OURS: 70.0, BASE: 100.0}},
    {"p50": {PLAIN: 0.010, OURS: 0.030, BASE: 0.0300}, "rate": {OURS: 90.0, BASE: 100.0}},
    {"p50": {PLAIN: 0.002, OURS: 0.005, BASE: 0.0040}, "rate": {OURS: 75.0, BASE: 100.0}},
)


def test_ratios_are_those_of_the_rounds() -> None:
    p50, rate = lines_of(_Part(), ROUNDS)
    assert p50.medians == {PLAIN: 0.002, OURS: 0.005, BASE: 0.004}
    assert p50.to_plain == 2.5
    assert p50.to_base == 1.25
    assert rate.to_plain is None
    assert rate.to_base == 0.75


def test_twenty_per_cent_worse_is_worse_either_way() -> None:
    p50, rate = lines_of(_Part(), ROUNDS)
    assert p50.is_worse
    assert rate.is_worse
    (fine,) = lines_of(_Part(), [{"p50": {OURS: 1.19, BASE: 1.0}}])
    assert not fine.is_worse
    (alone,) = lines_of(_Part(), [{"p50": {OURS: 5.0}}])
    assert not alone.is_worse


def test_the_table_has_the_columns_that_were_measured() -> None:
    lines = lines_of(_Part(), [{"p50": {PLAIN: 0.001, OURS: 0.002}}])
    assert markdown_of(_Part(), lines).splitlines() == [
        "### Searches",
        "",
        "|  | plain node | Miroir | to plain | budget |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| p50 | 1.00 ms | 2.00 ms | 2.00 | 2 ms |",
    ]
