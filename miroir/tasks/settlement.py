"""Settlement: what became of a write, judged shard by shard from what its node tasks say.

Nodes batch neighbouring tasks, and one bad document can fail an innocent task on one node and not on another. So a
task has failed only where no owner applied it; where one owner did and another did not, the other's copy is wrong. A
node that does not know its part any more may have done it: where nobody else can say, all copies are in doubt.

What was applied by copies alone that are not trusted any more will be undone when they are made equal to one that is.
So a trusted copy is waited for, even if its node is away, as long as no other trusted one has applied it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from miroir.store import NodeTask, ShardCopies, TaskStatus

_BADNESS: Final = ("succeeded", "open", "canceled", "failed", "lost")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a task ends, and which copies missed what another owner has (or all, where nobody knows who has it)."""

    status: TaskStatus
    lost: ShardCopies = field(default_factory=dict)
    failed_shards: tuple[int, ...] = ()
    applied: ShardCopies = field(default_factory=dict)


def judge(
    node_tasks: Sequence[NodeTask],
    given_up: Callable[[str], bool],
    trusted: Mapping[int, frozenset[str]] = MappingProxyType({}),
) -> Verdict | None:
    """The verdict, or None while it is open.

    `given_up(node)`: nobody waits for that node now. Its open tasks count as missed where another owner has the shard;
    where nobody else has it, or only copies that are not among `trusted` and the node's own is, the task stays open
    until the node returns. A shard that is not in `trusted`: every copy of it is.
    """
    by_shard: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for task in node_tasks:
        for shard in task.shards:
            copies = by_shard[shard]
            copies[task.node] = _worse(copies.get(task.node), task.status)
    lost: dict[int, frozenset[str]] = {}
    applied: dict[int, frozenset[str]] = {}
    failed_shards = []
    for shard, copies in by_shard.items():
        having = frozenset(node for node, status in copies.items() if status == "succeeded")
        vouching = trusted.get(shard)
        awaited = frozenset() if vouching is None or having & vouching else vouching
        for node, status in copies.items():
            if status == "open" and not (having and given_up(node) and node not in awaited):
                return None
        if not having:
            failed_shards.append(shard)
            if "lost" in copies.values():
                lost[shard] = frozenset(copies)
        else:
            applied[shard] = having
            missing = frozenset(copies) - having
            if missing:
                lost[shard] = missing
    if not failed_shards:
        return Verdict("succeeded", lost, (), applied)
    canceled = all(task.status in ("canceled", "succeeded") for task in node_tasks)
    return Verdict("canceled" if canceled else "failed", lost, tuple(sorted(failed_shards)), applied)


def _worse(known: str | None, status: str) -> str:
    """A node applied a shard's part only if each of its tasks did; it is open as long as one is and none went wrong."""
    return status if known is None else max(known, status, key=_BADNESS.index)
