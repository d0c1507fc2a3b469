"""What a whole run comes to: which share of searches, errors and calls was answered alike, and which SDKs work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.compat.clients import Clients
from tests.compat.errors import Parity
from tests.compat.play import Played
from tests.compat.report import Report

_COLUMNS = ("feature", "requests", "equal", "exempt", "different")


@dataclass(frozen=True)
class Shares:
    """A run over everything."""

    report: Report
    errors: Parity
    played: Played
    clients: Clients

    def lines(self) -> list[str]:
        """One line for each kind of request."""
        total = self.report.total
        compared = total.requests - total.unbuilt
        share = 100 * total.equal / compared if compared else 100.0
        searches = f"searches equal: {total.equal} of {compared} ({share:.1f} %)"
        rest = f"hits equal {100 * self.report.same_hits:.1f} %, {total.approximate} approximated"
        return [
            f"{searches}; {rest}, {total.different} different",
            str(self.errors),
            str(self.played),
            str(self.clients),
        ]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Calls and errors by feature."""
        for row in sorted(self.played.rows.values(), key=lambda row: row.feature):
            yield row.feature, str(row.calls), str(row.equal), "0", str(row.calls - row.equal)
        for kind, *counts in self.errors.rows():
            yield f"errors: {kind}", *map(str, counts)

    def print(self, console: Console, *, most: int = 20) -> None:
        """To a terminal, with the first differences in full."""
        for difference in (
            *map(str, self.errors.differing[:most]),
            *self.played.differing[:most],
            *self.clients.failed.values(),
        ):
            console.print(difference, markup=False)
        table = Table(*_COLUMNS)
        for row in self.rows():
            table.add_row(*row, style="red" if row[-1] != "0" else None)
        console.print(table)
        for line in self.lines():
            console.print(line, markup=False)

    def markdown(self) -> str:
        """For docs/compatibility.md."""
        rows = [f"| {' | '.join(_COLUMNS)} |", "| --- | ---: | ---: | ---: | ---: |"]
        rows += [f"| {' | '.join(row)} |" for row in self.rows()]
        return "\n".join([*rows, "", *(f"- {line}" for line in self.lines())]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Everything, with every difference."""
        return {
            "errors": {
                "share": self.errors.share,
                "kinds": [dict(zip(_COLUMNS, row, strict=True)) for row in self.errors.rows()],
                "differing": list(map(str, self.errors.differing)),
            },
            "calls": {
                "features": [asdict(row) for row in self.played.rows.values()],
                "differing": self.played.differing,
            },
            "clients": asdict(self.clients),
        }
