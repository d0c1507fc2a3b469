"""`POST /_miroir/indexes/{uid}/settings/preview`: what a change of settings would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from miroir.cluster import Cluster, Verdicts
from miroir.indexes import Index, NodeVersions, Registry
from miroir.indexes.settings import EXPERIMENTAL, apply_change, check_reserved, fingerprint, shown
from miroir.nodes import NodeCall


class SettingsPreview:
    """Judges a change as the data plane would, and says what would come of it."""

    def __init__(
        self, cluster: Cluster, registry: Registry, versions: NodeVersions, verdicts: Verdicts, *, anti_entropy: bool
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._versions = versions
        self._verdicts = verdicts
        self._anti_entropy = anti_entropy

    async def preview(self, uid: str, body: bytes, content_type: bytes) -> dict[str, Any]:
        """`ApiError`: 404 without the index; whatever a node, or Miroir, would refuse of the change at once."""
        index = self._registry.get(uid)
        target = "/indexes/{index}/settings"
        await self._verdicts.check_body(NodeCall("verdict", "PATCH", target, body, content_type))
        change = msgspec.json.decode(body, type=dict[str, Any])
        check_reserved(change, anti_entropy=self._anti_entropy)
        late = {name: value for name, value in change.items() if name in ("embedders", *EXPERIMENTAL) and value}
        if late:
            await self._verdicts.try_out("PATCH", target, late, uid)
        return {**compared(index, change), "nodes": self._nodes(index)}

    def _nodes(self, index: Index) -> list[dict[str, Any]]:
        """Every node that would be told."""
        stale = self._versions.stale(index)
        return [
            {
                "id": node,
                "status": self._cluster.health[node].status,
                "settings_version": self._versions.of(index, node),
                "stale": node in stale,
            }
            for node in self._cluster.placement(index.row.shards).node_ids
        ]


def compared(index: Index, change: Mapping[str, Any]) -> dict[str, Any]:
    """The settings before and after a change that comes behind all that are on their way."""
    before = shown(index.wishes[-1], experimental=EXPERIMENTAL)
    after = shown(apply_change(index.wishes[-1], change), experimental=EXPERIMENTAL)
    return {
        "index": index.uid,
        "settings_version": index.row.settings_version,
        "changes_in_flight": len(index.proposed),
        "fingerprint": fingerprint(before),
        "fingerprint_after": fingerprint(after),
        "diff": [
            {"setting": name, "before": before[name], "after": after[name]}
            for name in after
            if fingerprint({name: before[name]}) != fingerprint({name: after[name]})
        ],
    }
