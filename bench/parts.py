"""What can be measured. A part is one question; its rounds are short, so that they can take turns with others.

To add one: a class with a `name`, a `title`, its `figures`, and a `round` that measures every subject once and returns
`{figure: {column: value}}`; then put it into `PARTS` of `bench.__main__`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from bench.fleet import Miroir, PlainNode

Round = Mapping[str, Mapping[str, float]]
"""Figure to column to value. Columns are the names of the servers, and what else a part compares them with."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    title: str
    unit: Literal["us", "ms", "s", "MB", "x", "/s"]
    """Values are kept in seconds, bytes, ratios, and numbers a second; this is how they are shown."""
    more_is_better: bool = False
    budget: str = ""
    """What the value should be, in words."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs: a plain node, and the checkouts of Miroir in the order of their columns."""

    plain: PlainNode
    miroirs: Sequence[Miroir]
    ending: ExitStack
    """What a part starts for itself is ended with the rest by a callback here."""


class Part(Protocol):
    """One question."""

    name: ClassVar[str]
    title: ClassVar[str]
    figures: ClassVar[Sequence[Figure]]

    def round(self, bench: Bench) -> Round:
        """Measure everything once."""
