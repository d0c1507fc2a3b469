"""Miroir itself as a child process in front of given nodes, for `miroir dev` and for the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from miroir.cli.dev_nodes import MeilisearchNode
from miroir.cli.dev_process import Child


@dataclass(frozen=True, slots=True)
class Keys:
    """The three secrets a server reads from its environment; None leaves a door open, as Meilisearch does."""

    master: str | None
    node: str
    admin: str | None

    def environment(self) -> dict[str, str]:
        named = {
            "MIROIR_MASTER_KEY": self.master,
            "MIROIR_NODE_MASTER_KEY": self.node,
            "MIROIR_ADMIN_API_KEY": self.admin,
        }
        return {name: value for name, value in named.items() if value is not None}


def miroir_command(*arguments: str) -> list[str]:
    """The command line of `miroir` under this very Python, whatever is on PATH."""
    return [sys.executable, "-c", "from miroir.cli.main import main; main()", *arguments]


def node_groups(nodes: Sequence[MeilisearchNode], groups: int) -> list[tuple[MeilisearchNode, int]]:
    """Each node with its replica group: the first nodes make group 0, the next ones group 1 and so on."""
    size = len(nodes) // groups
    return [(node, number // size) for number, node in enumerate(nodes)]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` on top: mappings key by key, everything else replaced whole."""
    result = dict(base)
    for key, value in over.items():
        present = result.get(key)
        result[key] = merged(present, value) if isinstance(present, Mapping) and isinstance(value, Mapping) else value
    return result


def server_config(
    nodes: Sequence[MeilisearchNode],
    *,
    groups: int,
    rf: int,
    shards: int,
    port: int,
    metrics_port: int,
    store: Path,
    over: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The configuration for these nodes, everything on loopback; `over` (the inside of `miroir:`) has the last word."""
    base = {
        "shards": shards,
        "replication_factor": rf,
        "replica_groups": groups,
        "nodes": [
            {"id": node.node_id, "address": node.address, "replica_group": group}
            for node, group in node_groups(nodes, groups)
        ],
        "task_store": {"backend": "sqlite", "path": str(store)},
        "dumps": {"path": str(store.with_name("dumps"))},
        "server": {"bind": "127.0.0.1", "port": port, "metrics_port": metrics_port},
    }
    return {"miroir": merged(base, over or {})}


class MiroirServer(Child):
    """`miroir serve` in a child process; it is serving once some group covers every shard."""

    def __init__(self, directory: Path, config: Mapping[str, Any], keys: Keys) -> None:
        port = int(config["miroir"]["server"]["port"])
        super().__init__("Miroir", log=directory / "miroir.log", port=port, serving_path="/_miroir/ready")
        self.directory = directory
        self.config = config
        self.keys = keys

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "miroir.yaml"
        file.write_text(yaml.safe_dump(dict(self.config), sort_keys=False), encoding="utf-8")
        # Settings of the caller's own server must not leak into this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MIROIR_")}
        self.spawn(
            miroir_command("serve", "--config", str(file)),
            {**environment, "PYTHONUNBUFFERED": "1", **self.keys.environment()},
            self.directory,
        )
