"""The store's topology wins over the configuration's, but for addresses, and the log says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from miroir.app.topology import load_topology
from miroir.config import Config
from miroir.store.sqlite import open_sqlite


def config(*nodes: str, rf: int = 1, port: int = 7700) -> Config:
    settings: dict[str, Any] = {
        "replication_factor": rf,
        "nodes": [{"id": node, "address": f"http://{node}:{port}", "replica_group": 0} for node in nodes],
    }
    return Config(**settings)


@pytest.mark.parametrize(
    ("later", "warnings"),
    [
        (config("a", "b"), []),
        (config("a", "b", port=7800), []),
        (config("a", "b", "c"), ["names other nodes"]),
        (config("a"), ["names other nodes"]),
        (config("a", "b", rf=2), ["asks for other copies"]),
        (config("a", "b", "c", rf=2), ["names other nodes", "asks for other copies"]),
    ],
)
async def test_what_has_no_effect_any_more_is_told(later: Config, warnings: list[str], tmp_path: Path) -> None:
    async with await open_sqlite(tmp_path / "store.db") as store:
        first = await load_topology(config("a", "b"), store)
        with capture_logs() as logs:
            topology = await load_topology(later, store)
        assert await load_topology(later, store) == topology
    assert ([*topology.by_id], topology.replication_factor) == ([*first.by_id], 1)
    addresses = {node.id: node.address for node in later.nodes}
    assert all(node.address == addresses.get(node.id, node.address) for node in topology.nodes)
    told = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert len(told) == len(warnings)
    assert all(warning in event for warning, event in zip(warnings, told, strict=True))
