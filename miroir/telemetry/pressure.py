"""How close the process is to the limits of its container: parsing is pure, reading is four small files.

Both versions of control groups are understood. Without limits (a laptop, a test) there is no pressure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")

_HIGH: Final = 0.75
_VERY_HIGH: Final = 0.90
# Version 1 writes "no limit" as the largest number of whole pages.
_NO_LIMIT_BYTES: Final = 2**60


@dataclass(frozen=True, slots=True)
class Pressure:
    """`memory` is 0, 1 (over 75 % of the limit) or 2 (over 90 %); `cpu_throttled_seconds` only grows."""

    memory: int
    cpu_throttled_seconds: float


def memory_pressure(used_bytes: int, limit_bytes: int | None) -> int:
    """0, 1 or 2, as in `Pressure`."""
    if limit_bytes is None:
        return 0
    share = used_bytes / limit_bytes
    return 2 if share > _VERY_HIGH else 1 if share > _HIGH else 0


def parse_limit(text: str) -> int | None:
    """`memory.max` or `memory.limit_in_bytes`; `None` without a limit."""
    word = text.strip()
    if not word.isdigit() or not 0 < int(word) < _NO_LIMIT_BYTES:
        return None
    return int(word)


def parse_stat(text: str) -> dict[str, int]:
    """`cpu.stat` or `memory.stat`: a name and a number on each line; other lines are passed over."""
    values = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if number.strip().isdigit():
            values[name] = int(number)
    return values


def throttled_seconds(cpu_stat: dict[str, int]) -> float:
    """Time the scheduler held the process back: microseconds in version 2, nanoseconds in version 1."""
    if "throttled_usec" in cpu_stat:
        return cpu_stat["throttled_usec"] / 1e6
    return cpu_stat.get("throttled_time", 0) / 1e9


def working_set_bytes(used_bytes: int, memory_stat: dict[str, int]) -> int:
    """Memory that cannot be had back by dropping file pages; what the kubelet calls the working set."""
    reclaimable = memory_stat.get("total_inactive_file", memory_stat.get("inactive_file", 0))
    return max(0, used_bytes - reclaimable)


def read_pressure(root: Path = CGROUP_ROOT) -> Pressure:
    """The pressure now. What cannot be read counts as none."""
    if (root / "cgroup.controllers").exists():
        memory, cpu, current, limit = root, root, "memory.current", "memory.max"
    else:
        memory, cpu, current, limit = root / "memory", root / "cpu", "memory.usage_in_bytes", "memory.limit_in_bytes"
    used = working_set_bytes(parse_limit(_read(memory / current)) or 0, parse_stat(_read(memory / "memory.stat")))
    return Pressure(
        memory=memory_pressure(used, parse_limit(_read(memory / limit))),
        cpu_throttled_seconds=throttled_seconds(parse_stat(_read(cpu / "cpu.stat"))),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
