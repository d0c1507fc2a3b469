"""What is wrong with a configuration, said so that it can be put right in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `path` is the dotted key (`server.port`, `nodes[1].id`), the name of an environment variable, or `""` for the file
    as a whole; `wrong` says what is wrong, `instead` what to write, `source` where it was written
    (`miroir.yaml:12`, `MIROIR_SERVER__PORT`, `--set`, or `""` when a default takes part).
    """

    path: str
    wrong: str
    instead: str
    source: str = ""

    def __str__(self) -> str:
        where = f" ({self.source})" if self.source and self.source != self.path else ""
        head = f"{self.path}{where}: {self.wrong}" if self.path else f"{self.source or 'configuration'}: {self.wrong}"
        return f"{head}\n    {self.instead}"


class ConfigError(Exception):
    """The configuration is refused; `problems` names every reason at once. Never carries a secret's value."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        title = "1 problem" if count == 1 else f"{count} problems"
        return "\n".join([f"configuration refused, {title}:", *(f"  {problem}" for problem in self.problems)])
