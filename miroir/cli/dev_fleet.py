"""The processes of `miroir dev`: nodes in groups, Miroir before them, and the folder they live in."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import trio
import yaml

from miroir.cli.dev_nodes import MeilisearchNode, find_binary
from miroir.cli.dev_process import Child, StartError, free_port, port_is_free, scratch_directory
from miroir.cli.dev_server import Keys, MiroirServer, merged, server_config

DEFAULT_PORT = 7700
_STOP_GRACE_S = 10.0
_START_LIMIT_S = 60.0
_KEY_BYTES = 18


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What `miroir dev` was asked for. `nodes` is per group."""

    nodes: int = 3
    groups: int = 1
    rf: int = 1
    shards: int = 12
    """Of a new index. Twelve are spread evenly over the three nodes there are by default: by their ids four to each."""
    port: int = DEFAULT_PORT
    """Port of the Meilisearch API; 0: any. The default gives way to the next free one when taken, others do not."""
    master_key: str | None = None
    """Clients' key; None: a random one."""
    admin_key: str | None = None
    """Key of `/_miroir`; None: a random one."""
    data: Path | None = None
    """Where everything is kept for the next time; None: a temporary folder, removed at the end."""
    sample: bool = False
    config: Path | None = None
    """A configuration file for everything but the fleet (nodes, shards, copies, store, ports)."""
    once: bool = False
    """Take everything down as soon as it stands and the sample was searched."""

    def problem(self) -> str | None:
        """What is wrong with it, in words for the user; None when nothing is."""
        for name in ("nodes", "groups", "rf", "shards"):
            if getattr(self, name) < 1:
                return f"--{name} must be at least 1"
        if self.rf > self.nodes:
            return f"--rf {self.rf} needs {self.rf} nodes in each group; --nodes is {self.nodes}"
        if not 0 <= self.port < 65536:
            return f"--port {self.port} is no port"
        return None


class Fleet:
    """Everything `miroir dev` starts. Use it as an async context: leaving it ends every process, however it is left."""

    def __init__(self, options: DevOptions) -> None:
        self.options = options
        self.port = _api_port(options.port)
        binary = find_binary()
        base = _file_config(options.config)
        self._kept = options.data is not None
        self.directory = options.data.absolute() if options.data else scratch_directory("miroir-dev")
        try:
            self._lock = _lock(self.directory)
        except StartError:
            self._remove()
            raise
        try:
            memory = _Memory(self.directory / "dev.json", {f"meili-{n}" for n in range(options.nodes * options.groups)})
            memory.keep_shape({"nodes": options.nodes, "groups": options.groups, "rf": options.rf})
            self.keys = Keys(
                master=options.master_key or memory.key("master_key"),
                node=memory.key("node_key"),
                admin=options.admin_key or memory.key("admin_key"),
            )
            self.nodes = [
                MeilisearchNode(
                    node_id,
                    port=memory.port(node_id),
                    directory=self.directory / node_id,
                    master_key=self.keys.node,
                    binary=binary,
                )
                for node_id in memory.node_ids
            ]
            self.metrics_port = free_port()
            fleet = server_config(
                self.nodes,
                groups=options.groups,
                rf=options.rf,
                shards=options.shards,
                port=self.port,
                metrics_port=self.metrics_port,
                store=self.directory / "miroir.db",
            )
            self.server = MiroirServer(self.directory, merged(base, fleet), self.keys)
            memory.write()
        except BaseException:
            self.release()
            raise

    @property
    def url(self) -> str:
        return self.server.address

    async def __aenter__(self) -> Self:
        return self

    async def start_nodes(self, on_up: Callable[[], None]) -> None:
        """Start all nodes; `on_up` is called for each that serves. Raises `StartError`."""
        for node in self.nodes:
            node.start()
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(_await_serving, node, on_up)

    async def start_server(self) -> None:
        """Start Miroir and wait until it covers every shard. Raises `StartError`."""
        self.server.start()
        await _await_serving(self.server, lambda: None)

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._stop)

    def _stop(self) -> None:
        # Miroir first: it may still be finishing writes to the nodes.
        self.server.stop(_STOP_GRACE_S)
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop(_STOP_GRACE_S)
        self.release()

    def release(self) -> None:
        """Let go of the folder, and remove it if it was temporary. Nothing may run in it any more."""
        os.close(self._lock)
        self._remove()

    def _remove(self) -> None:
        if not self._kept:
            shutil.rmtree(self.directory, ignore_errors=True)


async def _await_serving(child: Child, on_up: Callable[[], None]) -> None:
    await trio.to_thread.run_sync(partial(child.wait_serving, _START_LIMIT_S), abandon_on_cancel=True)
    on_up()


class _Memory:
    """What a kept folder needs to know next time: how many nodes, their ports, which addresses name, and the keys."""

    def __init__(self, file: Path, node_ids: set[str]) -> None:
        self.node_ids: Sequence[str] = sorted(node_ids, key=lambda node_id: (len(node_id), node_id))
        self._file = file
        self._values: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def keep_shape(self, wanted: Mapping[str, int]) -> None:
        """Raises `StartError` when the folder has another one: documents do not move, so the store goes by its own."""
        kept = self._values.setdefault("shape", dict(wanted))
        if kept != wanted:
            options = " ".join(f"--{name} {value}" for name, value in kept.items())
            raise StartError(f"{self._file.parent} was made with {options}: say the same, or name another folder")

    def key(self, name: str) -> str:
        key: str = self._values.setdefault(name, secrets.token_urlsafe(_KEY_BYTES))
        return key

    def port(self, node_id: str) -> int:
        ports: dict[str, int] = self._values.setdefault("ports", {})
        if node_id not in ports or not port_is_free(ports[node_id]):
            ports[node_id] = free_port()
        return ports[node_id]

    def write(self) -> None:
        self._file.touch(mode=0o600)
        self._file.write_text(json.dumps(self._values, indent=2) + "\n")


def _api_port(wanted: int) -> int:
    if wanted == 0:
        return free_port()
    if port_is_free(wanted):
        return wanted
    if wanted != DEFAULT_PORT:
        raise StartError(f"port {wanted} is taken; name another with --port")
    for port in range(wanted + 1, wanted + 100):
        if port_is_free(port):
            return port
    raise StartError(f"ports {wanted} to {wanted + 99} are taken; name another with --port")


def _file_config(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise StartError(f"cannot read {file}: {error}") from error
    if not isinstance(found, dict):
        raise StartError(f"{file} is not a mapping with the key `miroir`")
    return found


def _lock(directory: Path) -> int:
    """A lock on the folder, held by the open file it returns."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "dev.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"cannot use {directory}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StartError(f"another `miroir dev` uses {directory}") from error
    return handle
