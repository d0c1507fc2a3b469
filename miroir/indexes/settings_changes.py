"""Changes of settings as clients ask for them: the first phase, in which all nodes get one and it becomes a task.

Nodes keep a queue per index. So a change is sent to all of them at once, behind whatever was sent before, and documents
that come after it are queued behind it, as on one node; nobody waits for anything but the nodes' 202. Several changes
may be on their way at a time: nodes take them in order, and they are committed in order (`miroir.indexes.broadcast`).

What was acknowledged is the task, with the change in its notes: there is no other journal. A change whose sender died
before that was never acknowledged, and its intent in the store says that no node of that index can be believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from miroir.cluster import Cluster, NodeRefusal, Operation, Writer
from miroir.errors import miroir_error
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.node_texts import refusal_about
from miroir.indexes.registry import Index, Proposed, Registry, index_not_found
from miroir.indexes.service import IndexService
from miroir.indexes.settings import apply_change, check_reserved
from miroir.indexes.task_details import settings_details
from miroir.indexes.versions import NodeVersions
from miroir.store import MappingChanged, NewTask, TaskRow
from miroir.tasks import now_text

Strategy = Literal["two_phase", "sequential"]

_CHANGE_NOTE: Final = "_change"


class SettingsChanges:
    """Proposes changes of settings. `sequential`: to one node first, and to the others in turn once it has it."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        indexes: IndexService,
        writer: Writer,
        versions: NodeVersions,
        node_index: NodeIndex,
        *,
        strategy: Strategy,
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._indexes = indexes
        self._writer = writer
        self._versions = versions
        self._node_index = node_index
        self._strategy = strategy

    async def change(self, uid: str, change: Mapping[str, Any], *, creates: bool = True) -> TaskRow:
        """`PATCH /indexes/{uid}/settings`. Creates the index, if who asks may (`creates`)."""
        uid = self._registry.own_name(uid)
        check_reserved(change, anti_entropy=self._node_index.anti_entropy)
        if not creates and self._registry.find(uid) is None:
            return await self._not_found(uid, change)
        await self._indexes.ensure(uid, None)
        return await self._propose(uid, change)

    async def reset(self, uid: str, names: Sequence[str]) -> TaskRow:
        """`DELETE /indexes/{uid}/settings`: these settings back to their defaults. Creates no index."""
        uid = self._registry.own_name(uid)
        nothing = dict.fromkeys(names)
        if self._registry.find(uid) is None:
            return await self._not_found(uid, nothing)
        return await self._propose(uid, nothing)

    def short_groups(self, task: TaskRow) -> tuple[int, ...]:
        """Groups that have too few nodes which take the change now, or in their turn."""
        also = () if self._strategy == "two_phase" else self._cluster.usable_nodes()
        return self._indexes.short_groups(task, also=also)

    async def _not_found(self, uid: str, change: Mapping[str, Any]) -> TaskRow:
        error = index_not_found(uid).body()
        return await self._indexes.fail("settingsUpdate", uid, settings_details(change), error)

    async def _propose(self, uid: str, change: Mapping[str, Any]) -> TaskRow:
        async with self._indexes.changing(uid):
            index = self._registry.get(uid)
            before = index.wishes[-1]
            after = apply_change(before, change)
            call = self._node_index.change_call(index.row, before, after, frozenset(change))
            nodes = self._first_nodes(index)
            details = {**settings_details(change), _CHANGE_NOTE: msgspec.json.encode(change).decode()}
            operation = Operation(
                index_uid=uid,
                physical_uid=index.physical_uid,
                index_shards=index.row.shards,
                shards=(),
                calls=lambda _intent, _shards: (call,),
                task=NewTask(uid, "settingsUpdate", details, now_text()),
                nodes=nodes,
            )
            try:
                task = (await self._writer.write(operation)).task
            except NodeRefusal as refusal:
                self._versions.question(index.physical_uid, nodes)  # some may have taken it
                raise refusal_about(self._registry.view_of(index.row, after), refusal.status, refusal.body) from None
            except MappingChanged:
                raise miroir_error("miroir_overloaded", "The index was changed at the same time. Try again.") from None
            except BaseException:
                self._versions.question(index.physical_uid, nodes)
                raise
            self._registry.propose(
                index.physical_uid, (*self._registry.proposed(index.physical_uid), Proposed(task.uid, change))
            )
            return task

    def _first_nodes(self, index: Index) -> tuple[str, ...]:
        owners = self._cluster.placement(index.row.shards).node_ids
        if self._strategy == "two_phase":
            return owners
        return next(((node,) for node in owners if self._cluster.usable(node)), owners[:1])


def change_of(task: TaskRow) -> Mapping[str, Any] | None:
    """The change of settings that an open task stands for; None for every other task."""
    note = task.details.get(_CHANGE_NOTE) if task.type == "settingsUpdate" else None
    return None if note is None else msgspec.json.decode(note, type=dict[str, Any])
