"""Details: counted in documents, never in copies, and without our notes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from miroir.cluster import place
from miroir.store import NodeTask, NodeTaskStatus, TaskRow
from miroir.tasks import COPIES_NOTE, DISTINCT_NOTE, enqueued_view, task_view
from miroir.tasks.details import settled, shown
from miroir.tasks.settlement import Verdict
from tests.unit.tasks.stand_ins import topology_of

DONE = Verdict("succeeded")


def parts(status: NodeTaskStatus = "succeeded", **shards: tuple[int, ...]) -> list[NodeTask]:
    return [NodeTask(node, "i1", 1, held, status) for node, held in shards.items()]


@given(
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.integers(0, 7), min_size=1, max_size=60),
)
def test_a_deletion_on_every_owner_counts_each_document_once(
    groups: int, nodes: int, rf: int, shard_of_document: list[int]
) -> None:
    placement = place(topology_of(groups, nodes, min(rf, nodes)), 8)
    touched = set(shard_of_document)
    tasks = []
    counts = {}
    for node, shards in placement.shards_of_node.items():
        mine = tuple(shard for shard in shards if shard in touched)
        if mine:
            tasks.append(NodeTask(node, "i1", 1, mine, "succeeded"))
            counts[node] = sum(shard in mine for shard in shard_of_document)
    final = settled("documentDeletion", {"originalFilter": None}, DONE, tasks, counts)
    assert final["deletedDocuments"] == len(shard_of_document)


def test_an_addition_that_was_applied_everywhere_indexed_its_distinct_documents() -> None:
    details = {"receivedDocuments": 5, "indexedDocuments": None, DISTINCT_NOTE: 3}
    final = settled("documentAdditionOrUpdate", details, DONE, parts(a=(0,), b=(0,)), {"a": 5, "b": 5})
    assert final == {"receivedDocuments": 5, "indexedDocuments": 3}


def test_an_addition_that_some_shards_failed_counts_what_the_others_have() -> None:
    details = {"receivedDocuments": 6, DISTINCT_NOTE: 6}
    tasks = [*parts(a=(0,), b=(0,)), *parts("failed", c=(1,))]
    final = settled("documentAdditionOrUpdate", details, Verdict("failed", {}, (1,)), tasks, {"a": 4, "b": 4, "c": 2})
    assert final == {"receivedDocuments": 6, "indexedDocuments": 4}


def test_an_addition_that_failed_everywhere_indexed_nothing() -> None:
    details = {"receivedDocuments": 2, DISTINCT_NOTE: 2}
    final = settled("documentAdditionOrUpdate", details, Verdict("failed", {}, (0,)), parts("failed", a=(0,)), {})
    assert final == {"receivedDocuments": 2, "indexedDocuments": 0}


def test_a_deletion_never_counts_more_than_was_asked_for() -> None:
    details = {"providedIds": 3, "deletedDocuments": None, "originalFilter": None}
    final = settled("documentDeletion", details, DONE, parts(a=(0,)), {"a": 7})
    assert final == {"providedIds": 3, "deletedDocuments": 3, "originalFilter": None}


def test_a_deletion_by_filter_provides_no_ids_and_counts_all() -> None:
    details = {"providedIds": 0, "deletedDocuments": None, "originalFilter": '"a = 1"'}
    final = settled("documentDeletion", details, DONE, parts(a=(0,), b=(0,)), {"a": 7, "b": 7})
    assert final["deletedDocuments"] == 7


def test_the_deletion_of_an_index_is_counted_by_the_copies_there_are_of_a_document() -> None:
    final = settled("indexDeletion", {COPIES_NOTE: 2}, DONE, parts(a=(0,), b=(0,), c=(0,)), {"a": 6, "b": 8, "c": 6})
    assert final == {"deletedDocuments": 10}


def test_other_details_stay_as_sent() -> None:
    assert settled("settingsUpdate", {"rankingRules": []}, DONE, parts(a=(0,)), {}) == {"rankingRules": []}


def test_notes_are_not_shown() -> None:
    assert shown({"_distinct": 1, "_x": 2, "primaryKey": "id"}) == {"primaryKey": "id"}
    assert shown(None) is None


def row(**changes: object) -> TaskRow:
    fields: dict[str, object] = {
        "uid": 7,
        "index_uid": "books",
        "type": "documentAdditionOrUpdate",
        "status": "succeeded",
        "node_tasks": (NodeTask("a", "i1", 3, (0,)),),
        "details": {"receivedDocuments": 1, DISTINCT_NOTE: 1},
        "error": None,
        "enqueued_at": "2026-03-01T12:00:00.5Z",
        "started_at": "2026-03-01T12:00:01Z",
        "finished_at": "2026-03-01T12:00:01.003837146Z",
        "stamp": 99,
        "physical_uid": "books-2",
    }
    return TaskRow(**(fields | changes))  # type: ignore[arg-type]  # rows differ in a member or two


def test_the_view_has_exactly_the_members_of_a_nodes() -> None:
    assert task_view(row()) == {
        "uid": 7,
        "batchUid": 7,
        "indexUid": "books",
        "status": "succeeded",
        "type": "documentAdditionOrUpdate",
        "canceledBy": None,
        "details": {"receivedDocuments": 1},
        "error": None,
        "duration": "PT0.003837146S",
        "enqueuedAt": "2026-03-01T12:00:00.5Z",
        "startedAt": "2026-03-01T12:00:01Z",
        "finishedAt": "2026-03-01T12:00:01.003837146Z",
    }


def test_a_task_that_nobody_works_on_has_no_batch_and_no_duration() -> None:
    view = task_view(row(status="enqueued", started_at=None, finished_at=None))
    assert (view["batchUid"], view["duration"]) == (None, None)
    assert task_view(row(status="processing", finished_at=None))["batchUid"] == 7


def test_a_write_is_answered_with_the_short_form_whatever_has_happened_meanwhile() -> None:
    assert enqueued_view(row()) == {
        "taskUid": 7,
        "indexUid": "books",
        "status": "enqueued",
        "type": "documentAdditionOrUpdate",
        "enqueuedAt": "2026-03-01T12:00:00.5Z",
    }


def test_an_edit_counts_each_document_once_under_both_names_of_a_node() -> None:
    details = {"editedDocuments": None, "deletedDocuments": None, "function": "doc.x = 1", "_moved": 3}
    tasks = parts(a=(0, 1), b=(0, 1))
    final = settled("documentEdition", details, DONE, tasks, {"a": 7, "b": 7})
    assert final == {"editedDocuments": 7, "deletedDocuments": 7, "function": "doc.x = 1"}
    assert settled("documentEdition", details, DONE, tasks, {})["deletedDocuments"] == 0


def test_an_edit_that_failed_says_nothing_of_deletions_unless_some_part_was_done() -> None:
    details = {"editedDocuments": None, "deletedDocuments": None}
    failed = Verdict("failed", {}, (0,))
    assert settled("documentEdition", details, failed, parts("failed", a=(0,)), {}) == {
        "editedDocuments": 0,
        "deletedDocuments": None,
    }
    tasks = [*parts("failed", a=(0,)), *parts(b=(1,))]
    final = settled("documentEdition", details, failed, tasks, {"b": 4})
    assert final == {"editedDocuments": 4, "deletedDocuments": 4}
