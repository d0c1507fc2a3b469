"""What a run has shown, by feature: as a table, as JSON, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.compat.run import Outcome, Verdict

_COLUMNS = ("feature", "requests", "equal", "hits equal", "approximated", "different", "not built")
_VECTOR_COLUMNS = ("by vector", "requests", "recall of one node", "recall over several")


@dataclass
class Row:
    """One feature: how many requests used it, and what came of them."""

    feature: str
    requests: int = 0
    equal: int = 0
    """The whole answer, byte for byte."""
    same_hits: int = 0
    """Hits and their order."""
    approximate: int = 0
    """Different in what an approximation may change, and in nothing else."""
    different: int = 0
    unbuilt: int = 0

    def add(self, outcome: Outcome) -> None:
        self.requests += 1
        self.equal += outcome.verdict is Verdict.EQUAL
        self.approximate += outcome.verdict is Verdict.APPROXIMATE
        self.different += outcome.verdict is Verdict.DIFFERENT
        self.unbuilt += outcome.verdict is Verdict.UNBUILT
        self.same_hits += outcome.same_hits and outcome.verdict is not Verdict.UNBUILT

    @property
    def cells(self) -> list[str]:
        built = self.requests - self.unbuilt
        share = f"{100 * self.same_hits / built:.1f} %" if built else "-"
        return [
            self.feature,
            str(self.requests),
            str(self.equal),
            share,
            str(self.approximate),
            str(self.different),
            str(self.unbuilt),
        ]


@dataclass
class VectorRow:
    """One feature of searches by vector: how many, and the recall of those that have nothing else in them."""

    feature: str
    requests: int = 0
    recalls: list[tuple[float, float]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.requests += 1
        if outcome.recalls is not None:
            self.recalls.append(outcome.recalls)

    @property
    def cells(self) -> list[str]:
        sides = zip(*self.recalls, strict=True) if self.recalls else ()
        means = [f"{fmean(side):.3f}" for side in sides] or ["-", "-"]
        return [self.feature, str(self.requests), *means]


@dataclass
class Report:
    """Sums of a run. Searches by vector are apart, for they are not compared hit by hit."""

    total: Row = field(default_factory=lambda: Row("all"))
    features: dict[str, Row] = field(default_factory=dict)
    approximations: dict[str, Row] = field(default_factory=dict)
    semantic: int = 0
    by_vector: dict[str, VectorRow] = field(default_factory=dict)
    recalls: list[tuple[float, float]] = field(default_factory=list)
    differing: list[Outcome] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Report:
        """Sum up."""
        report = cls()
        for outcome in outcomes:
            report.add(outcome)
        return report

    def add(self, outcome: Outcome) -> None:
        """Take one more in."""
        if outcome.recalls is not None:
            self.recalls.append(outcome.recalls)
        if outcome.verdict is Verdict.DIFFERENT:
            self.differing.append(outcome)
        if outcome.verdict is Verdict.SEMANTIC:
            self.semantic += 1
            for name in outcome.case.features:
                self.by_vector.setdefault(name, VectorRow(name)).add(outcome)
            return
        self.total.add(outcome)
        for rows, names in ((self.features, outcome.case.features), (self.approximations, outcome.approximations)):
            for name in names:
                rows.setdefault(name, Row(name)).add(outcome)

    @property
    def recall(self) -> tuple[float, float]:
        """The mean recall of the left side and of the right one; ones if there was no such search."""
        if not self.recalls:
            return 1.0, 1.0
        return fmean(left for left, _ in self.recalls), fmean(right for _, right in self.recalls)

    @property
    def same_hits(self) -> float:
        """Which share of all requests that were compared hit by hit has equal hits in the same order."""
        built = self.total.requests - self.total.unbuilt
        return self.total.same_hits / built if built else 1.0

    def _sections(self) -> Sequence[tuple[str, list[Row]]]:
        def by_name(rows: dict[str, Row]) -> list[Row]:
            return sorted(rows.values(), key=lambda row: row.feature)

        return (("feature", [*by_name(self.features), self.total]), ("approximation", by_name(self.approximations)))

    def _vector_rows(self) -> Sequence[VectorRow]:
        return sorted(self.by_vector.values(), key=lambda row: row.feature)

    def print(self, console: Console, *, most: int = 20) -> None:
        """To a terminal, with the first differences in full."""
        for outcome in self.differing[:most]:
            console.print(str(outcome.case), style="bold", markup=False)
            for line in outcome.where[:6]:
                console.print(f"    {line}", markup=False)
        for title, rows in self._sections():
            table = Table(title, *_COLUMNS[1:])
            for row in rows:
                table.add_row(*row.cells, style="red" if row.different else None)
            console.print(table)
        table = Table("by vector", *_VECTOR_COLUMNS[1:])
        for vector_row in self._vector_rows():
            table.add_row(*vector_row.cells)
        console.print(table)
        left, right = self.recall
        console.print(f"searches by vector: {self.semantic}, recall {left:.3f} left, {right:.3f} right")

    def markdown(self) -> str:
        """For docs/compatibility.md."""
        lines = []
        for title, rows in self._sections():
            lines += [f"| {' | '.join((title, *_COLUMNS[1:]))} |", f"| --- {'| ---: ' * (len(_COLUMNS) - 1)}|"]
            lines += [f"| {' | '.join(row.cells)} |" for row in rows]
            lines.append("")
        lines += [f"| {' | '.join(_VECTOR_COLUMNS)} |", f"| --- {'| ---: ' * (len(_VECTOR_COLUMNS) - 1)}|"]
        lines += [f"| {' | '.join(row.cells)} |" for row in self._vector_rows()]
        lines.append("")
        left, right = self.recall
        lines.append(f"Searches by vector: {self.semantic}; recall {left:.3f} on one node, {right:.3f} over several.")
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Everything, with every difference."""
        left, right = self.recall
        return {
            "total": asdict(self.total),
            "features": [asdict(row) for row in self._sections()[0][1][:-1]],
            "approximations": [asdict(row) for row in self._sections()[1][1]],
            "semantic": {"requests": self.semantic, "recall": {"left": left, "right": right}},
            "by_vector": [asdict(row) for row in self._vector_rows()],
            "differing": [
                {"case": str(outcome.case), "approximations": outcome.approximations, "where": outcome.where}
                for outcome in self.differing
            ],
        }
