"""`miroir serve` that kills itself (SIGKILL) at a chosen step of a write: a test's server, never a user's.

The file named by CHAOS_CRASH_FILE holds `STEP COUNT`; the process dies when it comes to that step for the COUNT-th
time, after it has removed the file.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from miroir.cli.main import main
from miroir.nodes import NodeClient
from miroir.store.sqlite import SqliteStore

STEPS = (
    "before begin",
    "after begin",
    "after a send",
    "before commit",
    "after commit",
    "before settle",
    "after settle",
    "before join_in_sync",
    "after join_in_sync",
)

_FILE = Path(os.environ.get("CHAOS_CRASH_FILE", "/nonexistent"))
_reached: dict[str, int] = {}


def reach(step: str) -> None:
    """Die here if that is what the file says."""
    try:
        wanted, _, count = _FILE.read_text().rpartition(" ")
    except FileNotFoundError:
        return
    if wanted != step:
        return
    _reached[step] = _reached.get(step, 0) + 1
    if _reached[step] >= int(count):
        _FILE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def watched(method: Callable[..., Awaitable[Any]], before: str | None, after: str) -> Callable[..., Awaitable[Any]]:
    async def step(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            reach(before)
        result = await method(*args, **kwargs)
        reach(after)
        return result

    return step


for name in ("begin", "commit", "settle", "settle_change", "join_in_sync"):
    setattr(SqliteStore, name, watched(getattr(SqliteStore, name), f"before {name}", f"after {name}"))
setattr(NodeClient, "enqueue", watched(NodeClient.enqueue, None, "after a send"))  # noqa: B010 - as above

if __name__ == "__main__":
    main()
