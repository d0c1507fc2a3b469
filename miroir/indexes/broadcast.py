"""The second phase of a change of settings: verify that all nodes have it, and commit; or take it back from all.

A change is concluded when every node that has it in its queue is done with it, nodes that went away aside:

failed      by any node, or canceled on any: it is taken back from the others, and then its task ends that way.
succeeded   the nodes' settings are read back and compared, by the hash of their canonical form, with what was asked
            for. A node that differs is mended, with growing pauses, so many times. Then the registry takes the change
            over under the next version, in one transaction with the end of the task and each node's version.

A node that was away, or had not answered for certain, stays behind that version: reads leave it out until it was mended
(`miroir.indexes.versions`). One that is there and cannot be mended freezes the index: writes to it are refused, since
nobody knows what they would come to on that node, until it agrees at last.

Changes of one index are concluded in order. Those behind may have been applied already, so a node may show the outcome
of any of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final, Protocol

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.indexes.alignment import Aligner, NotAligned
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.registry import Index, Proposed, Registry
from miroir.indexes.settings import Wish
from miroir.indexes.settings_changes import change_of
from miroir.indexes.versions import NodeVersions
from miroir.nodes import NodeTaskView
from miroir.store import IndexRow, MappingChanged, NodeTask, Settle, Store, StoreError, TaskRow, TaskStatus
from miroir.tasks import TaskTracker, now_text
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_LOOK_EVERY_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0


class Phases(Protocol):
    """Who is told how a change fares, for metrics."""

    def settings_phase(self, index: str, phase: int) -> None:
        """0: nothing is on its way; 1: proposed; 2: being verified; 3: being committed."""

    def settings_mismatched(self) -> None:
        """A node showed other settings than it should."""


@dataclass(frozen=True, slots=True)
class BroadcastKnobs:
    """`settings_broadcast` of the configuration."""

    verify_timeout_s: float
    max_repair_retries: int
    freeze_writes_on_unrepairable: bool
    in_turn: bool
    """`strategy: sequential`."""


class SettingsBroadcast:
    """Concludes the changes of settings that were proposed, and mends nodes that are behind."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        tracker: TaskTracker,
        registry: Registry,
        versions: NodeVersions,
        aligner: Aligner,
        node_index: NodeIndex,
        phases: Phases,
        knobs: BroadcastKnobs,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._tracker = tracker
        self._registry = registry
        self._versions = versions
        self._aligner = aligner
        self._node_index = node_index
        self._phases = phases
        self._knobs = knobs
        self._open: defaultdict[str, set[int]] = defaultdict(set)
        self._put_off: dict[tuple[str, str | None], tuple[float, float]] = {}
        self._told: set[str] = set()
        self._news = trio.Event()
        tracker.leave_to(self._take)
        versions.on_question(self._wake)

    def load(self, tasks: Sequence[TaskRow]) -> None:
        """Start with the open tasks that the store holds: what is proposed of each index."""
        proposed: defaultdict[str, list[Proposed]] = defaultdict(list)
        for task in sorted(tasks, key=lambda task: task.uid):
            change = change_of(task)
            if change is not None and task.physical_uid is not None:
                proposed[task.physical_uid].append(Proposed(task.uid, change))
        for physical_uid, changes in proposed.items():
            self._registry.propose(physical_uid, changes)

    async def run(self) -> None:
        """Tend every index for ever. A worker for the supervisor."""
        tended: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                self._news = trio.Event()
                stale = {index.physical_uid for index in self._registry.all() if self._versions.to_look_at(index)}
                for physical_uid in {*stale, *self._open} - tended:
                    tended.add(physical_uid)
                    nursery.start_soon(self._tend, physical_uid, tended)
                with trio.move_on_after(_LOOK_EVERY_S if stale or self._open else inf):
                    await self._news.wait()

    def _wake(self) -> None:
        self._news.set()

    def _take(self, task: TaskRow) -> bool:
        """Told by the tracker that something became of a task; whether it is ours to conclude."""
        if task.physical_uid is None or change_of(task) is None:
            return False
        self._open[task.physical_uid].add(task.uid)
        self._told.add(task.physical_uid)
        self._news.set()
        return True

    async def _tend(self, physical_uid: str, tended: set[str]) -> None:
        """Do what there is to do for one index now."""
        self._told.discard(physical_uid)
        try:
            while (uid := min(self._open[physical_uid], default=None)) is not None:
                if not self._may_try(physical_uid, None) or not await self._conclude(physical_uid, uid):
                    break
            if not self._open[physical_uid]:
                del self._open[physical_uid]
            await self._mend(physical_uid)
        except (NotAligned, StoreError) as failure:
            _log.warning("settings not tended", index=physical_uid, reason=str(failure))
            self._try_later(physical_uid, None)
        finally:
            tended.discard(physical_uid)
            if physical_uid in self._told:
                self._news.set()

    # -- one change --------------------------------------------------------------------------------------------------

    async def _conclude(self, physical_uid: str, uid: int) -> bool:
        """Conclude the oldest change of an index; whether that was possible now."""
        task = self._tracker.find(uid)
        if task is None:
            self._open[physical_uid].discard(uid)
            return True
        status = judge_change(task.node_tasks, lambda node: not self._cluster.usable(node))
        if status is None:
            return False
        index = self._registry.behind(physical_uid)
        if index is None:
            await self._tracker.conclude_with(uid, status)
        elif status != "succeeded":
            await self._take_back(index, task, status)
        elif (said := await self._spread(index, task)) is not None:
            await self._take_back(index, task, "failed", said)
        elif not await self._commit(index, task):
            return False
        self._open[physical_uid].discard(uid)
        self._put_off.pop((physical_uid, None), None)
        self._phases.settings_phase(task.index_uid or "", 1 if self._registry.proposed(physical_uid) else 0)
        return True

    async def _spread(self, index: Index, task: TaskRow) -> tuple[str, NodeTaskView] | None:
        """Have the nodes that were left out at first do it, one after the other; the task that one failed, if any."""
        if not self._knobs.in_turn:
            return None
        asked = {part.node for part in task.node_tasks}
        for node in self._owners(index):
            if node in asked:
                continue
            try:
                await self._aligner.align(index.physical_uid, node)
            except NotAligned as failure:
                if failure.failed is not None and failure.failed.status == "failed":
                    return node, failure.failed
                _log.warning("settings not spread", index=index.uid, node_id=node, reason=str(failure))
        return None

    async def _take_back(
        self, index: Index, task: TaskRow, status: TaskStatus, said: tuple[str, NodeTaskView] | None = None
    ) -> None:
        """No node keeps it: those that took it get what they had, and what was asked for since."""
        left = [each for each in self._registry.proposed(index.physical_uid) if each.task_uid != task.uid]
        self._registry.propose(index.physical_uid, left)
        away = [part.node for part in task.node_tasks if not self._cluster.usable(part.node)]
        self._versions.doubt(index.physical_uid, away)
        async with trio.open_nursery() as nursery:
            for node in self._owners(index):
                nursery.start_soon(self._try_to_align, index.physical_uid, node)
        await self._set_frozen(index.physical_uid, frozen=False)  # what its nodes did not agree on is gone
        await self._tracker.conclude_with(task.uid, status, said=said)

    async def _commit(self, index: Index, task: TaskRow) -> bool:
        self._phases.settings_phase(index.uid, 2)
        seen = await self._verify(index.physical_uid)
        if seen is None:
            await self._freeze(index.physical_uid)
            return False
        self._phases.settings_phase(index.uid, 3)
        while (now := self._registry.behind(index.physical_uid)) is not None:
            try:
                await self._tracker.conclude_with(task.uid, "succeeded", self._committing(now, task, seen))
            except MappingChanged:
                self._registry.catch_up(await self._store.list_indexes())
            else:
                return True
        await self._tracker.conclude_with(task.uid, "succeeded")
        return True

    def _committing(self, index: Index, task: TaskRow, seen: Mapping[str, str]) -> Callable[[Settle], Any]:
        version = index.row.settings_version + 1
        row = replace(
            index.row,
            settings=msgspec.json.encode(_after(index, task.uid)),
            settings_version=version,
            frozen=False,
            updated_at=now_text(),
        )
        nodes = [self._versions.row(index, node, version, fingerprint) for node, fingerprint in seen.items()]

        async def settle(settlement: Settle) -> TaskRow:
            with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
                settled, committed = await self._store.settle_change(settlement, row, nodes)
                left = [each for each in self._registry.proposed(row.physical_uid) if each.task_uid != task.uid]
                self._registry.put(committed)
                self._registry.propose(row.physical_uid, left)
                self._versions.keep(nodes)
                self._versions.refresh(self._registry.get(committed.uid))
            return settled

        return settle

    # -- verifying ---------------------------------------------------------------------------------------------------

    async def _verify(self, physical_uid: str) -> dict[str, str] | None:
        """Node -> the fingerprint of what it shows, of all that are there; None if one cannot be brought into line."""
        deadline = trio.current_time() + self._knobs.verify_timeout_s
        pause = _FIRST_PAUSE_S
        attempt = 0
        while (index := self._registry.behind(physical_uid)) is not None:
            shown = await self._look(index)
            if not shown:
                raise NotAligned("no node is there to be asked")
            wrong = self._differing(index, shown)
            if not wrong or (self._agree(index, shown) and (attempt or self._differ_in_words(index, shown))):
                return {node: self._aligner.fingerprint(index, each) for node, each in shown.items() if each}
            if attempt == self._knobs.max_repair_retries or trio.current_time() > deadline:
                if self._knobs.freeze_writes_on_unrepairable or len(wrong) == len(shown):
                    return None
                self._versions.doubt(physical_uid, wrong)
                right = {node: each for node, each in shown.items() if node not in wrong and each}
                return {node: self._aligner.fingerprint(index, each) for node, each in right.items()}
            if attempt:
                await trio.sleep(pause)
                pause *= 2
            await self._mend_differing(physical_uid, wrong)
            attempt += 1
        return {}

    async def _look(self, index: Index) -> dict[str, dict[str, Any] | None]:
        """What each usable owner shows, all asked at once; a node that does not answer is left out, as one away."""
        shown: dict[str, dict[str, Any] | None] = {}

        async def look(node: str) -> None:
            try:
                shown[node] = await self._aligner.look(index.physical_uid, node)
            except NotAligned as failure:
                _log.info("settings not read back", node_id=node, reason=str(failure))

        async with trio.open_nursery() as nursery:
            for node in self._owners(index):
                nursery.start_soon(look, node)
        return shown

    def _differing(self, index: Index, shown: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
        """Nodes that show the outcome of none of the changes from the oldest on."""
        wishes = index.wishes[1:] or index.wishes
        return sorted(
            node
            for node, each in shown.items()
            if each is None or not any(self._node_index.shows(each, index.row, wish) for wish in wishes)
        )

    def _agree(self, index: Index, shown: Mapping[str, Mapping[str, Any] | None]) -> bool:
        """Whether all nodes show the same. After they were sent the same, that is how nodes spell it."""
        seen = {each and self._aligner.fingerprint(index, each) for each in shown.values()}
        return len(seen) == 1 and None not in seen

    def _differ_in_words(self, index: Index, shown: Mapping[str, Mapping[str, Any] | None]) -> bool:
        """Whether a node differs from what is expected in words alone, of which only nodes know the spelling."""
        each = next(iter(shown.values()))
        if each is None:
            return False
        return any(self._node_index.shows(each, index.row, wish, words=False) for wish in index.wishes[1:])

    async def _mend_differing(self, physical_uid: str, nodes: Sequence[str]) -> None:
        for node in nodes:
            self._phases.settings_mismatched()
            _log.warning("a node has other settings than it should", index=physical_uid, node_id=node)
            await self._try_to_align(physical_uid, node)

    async def _try_to_align(self, physical_uid: str, node: str) -> bool:
        try:
            return await self._aligner.align(physical_uid, node)
        except (NotAligned, StoreError) as failure:
            _log.warning("settings not mended", index=physical_uid, node_id=node, reason=str(failure))
            self._versions.doubt(physical_uid, (node,))
            return False

    async def _freeze(self, physical_uid: str) -> None:
        """Stop writes to the index until its nodes agree: they are looked at again, ever more rarely."""
        if await self._set_frozen(physical_uid, frozen=True):
            _log.error("index frozen: its nodes do not agree on its settings", index=physical_uid)
        self._try_later(physical_uid, None)

    async def _set_frozen(self, physical_uid: str, *, frozen: bool) -> bool:
        """Whether that is something new."""
        index = self._registry.behind(physical_uid)
        if index is None or index.row.frozen == frozen:
            return False
        with trio.CancelScope(shield=True):
            row: IndexRow = await self._store.update_index(replace(index.row, frozen=frozen))
            self._registry.put(row)
        return True

    # -- nodes that are behind ---------------------------------------------------------------------------------------

    async def _mend(self, physical_uid: str) -> None:
        """Bring nodes into line that were away, or that nobody can vouch for."""
        index = self._registry.behind(physical_uid)
        if index is None:
            return
        busy = {
            part.node
            for each in index.proposed
            if (task := self._tracker.find(each.task_uid)) is not None
            for part in task.node_tasks
            if part.status == "open"
        }
        for node in sorted(self._versions.to_look_at(index) - busy):
            if not self._cluster.usable(node) or not self._may_try(physical_uid, node):
                continue
            await self._try_to_align(physical_uid, node)
            index = self._registry.behind(physical_uid)
            if index is None or node not in self._versions.to_look_at(index):
                self._put_off.pop((physical_uid, node), None)
            else:
                self._try_later(physical_uid, node)

    def _owners(self, index: Index) -> list[str]:
        return [node for node in self._cluster.placement(index.row.shards).node_ids if self._cluster.usable(node)]

    def _may_try(self, physical_uid: str, node: str | None) -> bool:
        until, _ = self._put_off.get((physical_uid, node), (0.0, 0.0))
        return until <= trio.current_time()

    def _try_later(self, physical_uid: str, node: str | None) -> None:
        _, pause = self._put_off.get((physical_uid, node), (0.0, 0.0))
        pause = min(pause * 2, _LONGEST_PAUSE_S) or _FIRST_PAUSE_S
        self._put_off[physical_uid, node] = (trio.current_time() + pause, pause)


def judge_change(node_tasks: Sequence[NodeTask], away: Callable[[str], bool]) -> TaskStatus | None:
    """What became of a change of settings; None while a node that is there has it in its queue.

    Where it was lost (a disk that was wiped) it is still to be done, and mending does it.
    """
    statuses = {part.status for part in node_tasks if not (part.status == "open" and away(part.node))}
    if "open" in statuses or not statuses:
        return None
    if "failed" in statuses:
        return "failed"
    return "canceled" if "canceled" in statuses else "succeeded"


def _after(index: Index, task_uid: int) -> Wish:
    """The wish that a proposed change leaves."""
    return next(wish for each, wish in zip(index.proposed, index.wishes[1:], strict=True) if each.task_uid == task_uid)
