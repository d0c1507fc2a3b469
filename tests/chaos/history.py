"""What was attempted and what was acknowledged, key by key, and what may therefore be read.

Each key has one writer, which makes one attempt after the other. An attempt that was not acknowledged (an error, no
answer) may have happened or not, so after it either outcome is right; an acknowledged one must be read until the next
attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ABSENT = None
"""The version of a key that is deleted or was never written."""


@dataclass(slots=True)
class Attempt:
    """One try to bring a key to `version` (a number, or `ABSENT`)."""

    version: int | None
    acknowledged: bool = False
    settled: bool = False


@dataclass(slots=True)
class Key:
    """Attempts at one key, oldest first."""

    attempts: list[Attempt] = field(default_factory=list)

    def allowed(self) -> set[int | None]:
        """What may be read of it once everything is at rest."""
        versions: set[int | None] = set()
        for attempt in reversed(self.attempts):
            versions.add(attempt.version)
            if attempt.acknowledged:
                return versions
        return versions | {ABSENT}

    def certain(self) -> tuple[bool, int | None]:
        """Whether a search must show exactly one version now, and which: nothing is under way, the last is settled."""
        if not self.attempts:
            return True, ABSENT
        last = self.attempts[-1]
        return last.settled, last.version


@dataclass(slots=True)
class History:
    """All keys of a run, and every acknowledged task."""

    keys: dict[str, Key] = field(default_factory=dict)
    tasks: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def key(self, name: str) -> Key:
        return self.keys.setdefault(name, Key())

    def expectations(self) -> dict[str, tuple[int, int | None]]:
        """Key -> (number of attempts so far, the version a search must show), for keys that are certain now."""
        expected = {}
        for name, key in self.keys.items():
            certain, version = key.certain()
            if certain:
                expected[name] = (len(key.attempts), version)
        return expected

    def check_search(self, expected: dict[str, tuple[int, int | None]], hits: list[tuple[str, int]], what: str) -> None:
        """I3 for one search that began when `expected` was taken and has just ended."""
        found = dict(hits)
        if len(found) != len(hits):
            self.violations.append(f"{what}: a document twice: {sorted(hits)}")
        for name, (attempts, version) in expected.items():
            if len(self.keys[name].attempts) == attempts and found.get(name) != version:
                self.violations.append(f"{what}: {name} is {found.get(name)} and was settled as {version}")

    def check_rest(self, found: dict[str, int]) -> None:
        """I1 and I2, once everything is at rest."""
        for name, key in self.keys.items():
            if found.get(name) not in key.allowed():
                self.violations.append(f"at rest: {name} is {found.get(name)}, allowed {key.allowed()}: {key.attempts}")
        for name in found.keys() - self.keys.keys():
            self.violations.append(f"at rest: {name} was never written")
