"""From rounds to medians, a table, a file, and what has become slower."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from bench.parts import Figure, Part, Round
from miroir import __version__

_SCALE: Final = {"us": 1e6, "ms": 1e3, "s": 1.0, "MB": 1e-6, "x": 1.0, "/s": 1.0}
_FORMAT: Final = {
    "us": "{:,.0f} us",
    "ms": "{:,.2f} ms",
    "s": "{:.2f} s",
    "MB": "{:.0f} MB",
    "x": "{:.2f}",
    "/s": "{:,.0f}",
}
OURS: Final = "Miroir"
BASE: Final = "base"
PLAIN: Final = "plain node"
_WORSE: Final = 1.2


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over all rounds: medians by column, and medians of the rounds' own ratios."""

    figure: Figure
    medians: dict[str, float]
    to_plain: float | None
    to_base: float | None

    @property
    def is_worse(self) -> bool:
        """Whether the checkout is 20 % worse than its base."""
        if self.to_base is None:
            return False
        return (1 / self.to_base if self.figure.more_is_better else self.to_base) > _WORSE


def lines_of(part: Part, rounds: Sequence[Round]) -> list[Line]:
    """The part's figures, as far as they were measured."""
    lines = []
    for figure in part.figures:
        seen = [each[figure.name] for each in rounds if figure.name in each]
        if not seen:
            continue
        columns = [column for column in seen[0] if all(column in each for each in seen)]
        medians = {column: statistics.median(each[column] for each in seen) for column in columns}
        lines.append(Line(figure, medians, _ratio(seen, OURS, PLAIN), _ratio(seen, OURS, BASE)))
    return lines


def _ratio(seen: Sequence[Mapping[str, float]], over: str, under: str) -> float | None:
    if not all(over in each and each.get(under) for each in seen):
        return None
    return statistics.median(each[over] / each[under] for each in seen)


def table_of(part: Part, lines: Sequence[Line]) -> Table:
    """As people read it."""
    columns = list(dict.fromkeys(column for line in lines for column in line.medians))
    table = Table(title=part.title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    ratios = [
        (title, name)
        for title, name in (("to plain", "to_plain"), ("to base", "to_base"))
        if any(getattr(line, name) is not None for line in lines)
    ]
    for title, _ in ratios:
        table.add_column(title, justify="right")
    has_budget = any(line.figure.budget for line in lines)
    if has_budget:
        table.add_column("budget", justify="right")
    for line in lines:
        unit = line.figure.unit
        row = [line.figure.title]
        row += [
            _FORMAT[unit].format(line.medians[each] * _SCALE[unit]) if each in line.medians else "" for each in columns
        ]
        for _, name in ratios:
            ratio = getattr(line, name)
            mark = " !" if name == "to_base" and line.is_worse else ""
            row.append("" if ratio is None else f"{ratio:.2f}{mark}")
        table.add_row(*row, *([line.figure.budget] if has_budget else []))
    return table


def markdown_of(part: Part, lines: Sequence[Line]) -> str:
    """The table for `docs/benchmarks.md`."""
    columns = list(dict.fromkeys(column for line in lines for column in line.medians))
    rows = [["", *columns, "to plain", "to base", "budget"]]
    for line in lines:
        unit = line.figure.unit
        rows.append(
            [
                line.figure.title,
                *[
                    _FORMAT[unit].format(line.medians[each] * _SCALE[unit]) if each in line.medians else ""
                    for each in columns
                ],
                "" if line.to_plain is None else f"{line.to_plain:.2f}",
                "" if line.to_base is None else f"{line.to_base:.2f}",
                line.figure.budget,
            ]
        )
    keep = [at for at in range(len(rows[0])) if at == 0 or any(row[at] for row in rows[1:])]
    listed = [[row[at] for at in keep] for row in rows]
    rule = ["---", *["---:"] * (len(keep) - 1)]
    return "\n".join(
        [f"### {part.title}", "", *[f"| {' | '.join(row)} |" for row in (listed[0], rule, *listed[1:])], ""]
    )


def machine() -> dict[str, Any]:
    """What it ran on."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "miroir": __version__,
    }


def save(parts: Mapping[str, Sequence[Round]], about: Mapping[str, Any], markdown: str) -> Path:
    """Write every round to `results/`, and the tables beside it."""
    now = datetime.now(UTC)
    file = Path("results", f"bench-{now:%Y%m%dT%H%M%S}.json")
    file.parent.mkdir(exist_ok=True)
    report = {"date": now.isoformat(timespec="seconds"), "machine": machine(), **about, "rounds": parts}
    file.write_text(json.dumps(report, indent=1) + "\n")
    file.with_suffix(".md").write_text(markdown)
    return file
