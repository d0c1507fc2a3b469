"""The supervisor: background work that must not stop because it failed once.

A worker that crashes is logged, counted and started again, after a pause that doubles with each crash in a row. One
that ran for a while before it crashed starts with the short pause again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from miroir.telemetry import get_logger

_log = get_logger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_STEADY_AFTER_S = 60.0

Worker = Callable[[], Awaitable[None]]


class Supervisor:
    """Runs named workers in a nursery that its owner waits for."""

    def __init__(self, nursery: trio.Nursery, on_restart: Callable[[str], None]) -> None:
        self._nursery = nursery
        self._on_restart = on_restart

    def run(self, name: str, worker: Worker) -> None:
        """Keep `worker` running until the nursery is cancelled. A worker that returns is done."""
        self._nursery.start_soon(self._keep, name, worker, name=name)

    async def _keep(self, name: str, worker: Worker) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            started = trio.current_time()
            try:
                await worker()
            except Exception:  # noqa: BLE001 - a worker's failure or a group of them; never Cancelled
                _log.exception("worker crashed", worker=name, restart_in_s=pause)
            else:
                return
            self._on_restart(name)
            if trio.current_time() - started > _STEADY_AFTER_S:
                pause = _FIRST_PAUSE_S
            await trio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
