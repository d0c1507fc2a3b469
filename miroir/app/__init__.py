"""The composition root: from a configuration to a running server.

Order of life: the store opens, the topology is taken from it (or seeded from the configuration), nodes are looked at
once, the doors open, workers start. On SIGTERM the doors close first, what runs finishes within the grace, then workers
end and the store closes.
"""

from __future__ import annotations

import fcntl
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from miroir.app.building import build, pod_id
from miroir.app.doors import (
    StartupError,
    body_limit,
    data_tls,
    dispatcher,
    engine,
    lifespan,
    listen,
    metrics_app,
    secured,
)
from miroir.cluster import ForeignNode
from miroir.config import Config, Secrets, cautions, not_servable
from miroir.coordination import Supervisor
from miroir.http import ServerLimits
from miroir.http import serve as serve_http
from miroir.store import StoreError
from miroir.store.sqlite import open_sqlite
from miroir.telemetry import configure_logging, get_logger

__all__ = ["StartupError", "run", "serve"]

_log = get_logger(__name__)


def run(config: Config, secrets: Secrets) -> int:
    """Serve until SIGTERM or SIGINT. 0: stopped as asked; 1: could not start, and said why on the log."""
    configure_logging(config.logging.level, config.logging.format, pod_id=pod_id())
    # The store's thread must get its turn soon when the loop is busy: a begin took 1.3 ms under load instead of 4.9.
    sys.setswitchinterval(0.0005)
    _allow_many_sockets()
    status = 0
    try:
        trio.run(_serve_until_signalled, config, secrets)
    except* (StartupError, StoreError, ForeignNode, OSError) as failures:
        for failure in _leaves(failures):
            _log.error("cannot start", reason=str(failure))
        status = 1
    return status


def _allow_many_sockets() -> None:
    """Raise the soft limit of open files to the hard one: every client and every node connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve_until_signalled(config: Config, secrets: Secrets) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop)
        await serve(config, secrets, stop=stop)
        nursery.cancel_scope.cancel()


async def _stop_on_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("stopping", signal=signal.Signals(number).name)
            stop.set()
            return


async def serve(config: Config, secrets: Secrets, *, stop: trio.Event) -> None:
    """Build everything, serve until `stop`, take everything down in the opposite order.

    Raises `StartupError`, `StoreError`, `ForeignNode` or `OSError` when it cannot start.
    """
    _check(config, secrets)
    tls = data_tls(config)
    async with AsyncExitStack() as stack:
        # The ports come first: who cannot have them must not touch the store of who does.
        data_listeners, metrics_listeners = await listen(stack, config)
        stack.enter_context(_sole_owner(Path(config.task_store.path)))
        store = await open_sqlite(Path(config.task_store.path))
        stack.push_async_callback(store.aclose)
        services = await build(config, secrets, store)
        for client in services.cluster.clients.values():
            stack.push_async_callback(client.aclose)
        await services.prober.first_look()
        await services.key_sync.first_look()
        async with trio.open_nursery() as nursery:
            supervisor = Supervisor(nursery, services.metrics.worker_restarted)
            for name, worker in services.workers.items():
                supervisor.run(name, worker)
            async with lifespan(services.admin_app):
                limits = ServerLimits(max_body_bytes=config.server.max_body_bytes)
                grace = float(config.server.shutdown_grace_s)
                serve_data = engine(config)
                data_plane = dispatcher(services, config.admin.enabled)
                doors_to = (
                    (serve_data, data_plane, secured(data_listeners, tls)),
                    (serve_http, metrics_app(services), metrics_listeners),
                )
                async with trio.open_nursery() as doors:
                    for serve_door, app, listeners in doors_to:
                        doors.start_soon(
                            partial(
                                serve_door,
                                app,
                                listeners,
                                limits=limits,
                                body_limit=partial(body_limit, limits),
                                shutdown_grace_s=grace,
                                stop=stop,
                            )
                        )
                    port = data_listeners[0].socket.getsockname()[1]
                    metrics_port = metrics_listeners[0].socket.getsockname()[1]
                    _log.info("ready to serve", port=port, metrics_port=metrics_port, tls=tls is not None)
            nursery.cancel_scope.cancel()


def _check(config: Config, secrets: Secrets) -> None:
    refused = not_servable(config)
    if refused:
        raise StartupError(" ".join(refused))
    for caution in cautions(config, secrets):
        _log.warning(caution.text, **caution.about)


@contextmanager
def _sole_owner(store: Path) -> Iterator[None]:
    """Keep a second server off this store: it would take our running writes for those of a dead process."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f"{store.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"Another Miroir uses the store {store}. Stop it, or name another store.") from None
        yield


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in group.exceptions:
        leaves += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return leaves
