"""Drift: a node whose settings are no longer what was committed, because somebody changed them there directly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import trio

from miroir.cluster import Cluster
from miroir.indexes.alignment import Aligner, NotAligned
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.registry import Index, Registry
from miroir.indexes.versions import NodeVersions
from miroir.store import StoreError
from miroir.telemetry import get_logger

_log = get_logger(__name__)


class DriftMetrics(Protocol):
    """Who counts."""

    def settings_mismatched(self) -> None:
        """A node showed other settings than it should."""

    def settings_drift_repaired(self) -> None:
        """A node that had drifted was mended."""


class DriftCheck:
    """Looks at every index on every node, when it starts and then every `interval_s`."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        versions: NodeVersions,
        aligner: Aligner,
        node_index: NodeIndex,
        metrics: DriftMetrics,
        *,
        interval_s: float,
        auto_repair: bool,
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._versions = versions
        self._aligner = aligner
        self._node_index = node_index
        self._metrics = metrics
        self._interval_s = interval_s
        self._auto_repair = auto_repair

    async def run(self) -> None:
        """Check for ever. A worker for the supervisor."""
        while True:
            self._versions.forget_all_but({index.physical_uid for index in self._registry.all()})
            for index in self._registry.all():
                try:
                    await self._check(index)
                except StoreError as failure:
                    _log.info("settings not checked", index=index.uid, reason=str(failure))
            await trio.sleep(self._interval_s)

    async def _check(self, index: Index) -> None:
        """One index. While a change is on its way there is nothing to compare with: its verification does that."""
        shown: dict[str, dict[str, Any]] = {}
        for node in self._cluster.placement(index.row.shards).node_ids:
            if not self._cluster.usable(node):
                continue
            try:
                found = await self._aligner.look(index.physical_uid, node)
            except NotAligned as failure:
                _log.info("settings not checked", index=index.uid, node_id=node, reason=str(failure))
                continue
            if found is not None:  # without the index its documents are missing too: that is repair's business
                shown[node] = found
        current = self._registry.behind(index.physical_uid)
        if current is None or current.proposed or current.row.revision != index.row.revision:
            return
        if self._versions.to_look_at(current):
            return  # somebody is about to, and nobody knows what to compare with before that
        spelled_alike = self._spelled_alike(current, shown)
        for node, found in shown.items():
            if spelled_alike or self._aligner.is_sound(current, found):
                await self._versions.confirm(current, node, self._aligner.fingerprint(current, found))
            else:
                await self._drifted(current, node)

    async def _drifted(self, index: Index, node: str) -> None:
        self._metrics.settings_mismatched()
        _log.warning("settings have drifted", index=index.uid, node_id=node, repaired=self._auto_repair)
        if not self._auto_repair:
            return
        try:
            if await self._aligner.align(index.physical_uid, node):
                self._metrics.settings_drift_repaired()
        except NotAligned as failure:
            _log.warning("drifted settings not mended", index=index.uid, node_id=node, reason=str(failure))

    def _spelled_alike(self, index: Index, shown: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether all nodes show the same, and it differs from what is expected only in how words are spelled."""
        if len({self._aligner.fingerprint(index, found) for found in shown.values()}) != 1:
            return False
        found = next(iter(shown.values()))
        return self._node_index.shows(found, index.row, index.wishes[-1], words=False)
