"""Task details: what the client sent and what came of it, counted in documents, never in copies.

While a task is open its details may carry notes of ours under names that begin with `_`; nobody outside sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from miroir.store import NodeTask
from miroir.tasks.settlement import Verdict

DISTINCT_NOTE = "_distinct"
"""How many different documents an addition holds."""
COPIES_NOTE = "_copies"
"""How many copies there are of every document, where shards do not tell: the deletion of an index."""


def shown(details: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Details without our notes."""
    if details is None:
        return None
    return {name: value for name, value in details.items() if not name.startswith("_")}


def settled(
    type: str, details: Mapping[str, Any], verdict: Verdict, node_tasks: Sequence[NodeTask], counts: Mapping[str, Any]
) -> dict[str, Any]:
    """The details a task ends with.

    `counts[node]`: what the node itself said it indexed or deleted. Where all owners took their parts a document was
    counted once per owner, so the sum divides exactly; where some did not, the quotient is taken over those that did.
    """
    final = shown(details) or {}
    if type == "documentAdditionOrUpdate":
        complete = verdict.status == "succeeded" and DISTINCT_NOTE in details
        final["indexedDocuments"] = details[DISTINCT_NOTE] if complete else _documents(details, node_tasks, counts)
    elif type in ("documentDeletion", "indexDeletion"):
        deleted = _documents(details, node_tasks, counts)
        provided = final.get("providedIds")
        final["deletedDocuments"] = min(deleted, provided) if provided else deleted
    elif type == "documentEdition":
        # A node says "deleted" of all it ran the function on, and nothing of them when it ran in vain.
        edited = _documents(details, node_tasks, counts)
        final["editedDocuments"] = edited
        final["deletedDocuments"] = edited if edited or verdict.status == "succeeded" else None
    return final


def _documents(details: Mapping[str, Any], node_tasks: Sequence[NodeTask], counts: Mapping[str, Any]) -> int:
    applied = [task for task in node_tasks if task.status == "succeeded"]
    shards = {shard for task in applied for shard in task.shards}
    if not shards:
        return 0
    copies_per_shard = details.get(COPIES_NOTE) or sum(len(task.shards) for task in applied) / len(shards)
    total = sum(int(counts.get(task.node) or 0) for task in applied)
    return round(total / copies_per_shard)
