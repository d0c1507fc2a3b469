"""Batches: one a task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miroir.store import NodeTask, TaskRow
from miroir.tasks import batch_view

DONE = TaskRow(
    uid=7,
    index_uid="books",
    type="documentDeletion",
    status="succeeded",
    node_tasks=(),
    details={"providedIds": 2, "deletedDocuments": 1, "originalFilter": None, "_note": 1},
    error=None,
    enqueued_at="2026-03-01T12:00:00Z",
    started_at="2026-03-01T12:00:01Z",
    finished_at="2026-03-01T12:00:01.00125Z",
)


def test_a_finished_batch() -> None:
    assert batch_view(DONE) == {
        "uid": 7,
        "progress": None,
        "details": {"providedIds": 2, "deletedDocuments": 1},
        "stats": {
            "totalNbTasks": 1,
            "status": {"succeeded": 1},
            "types": {"documentDeletion": 1},
            "indexUids": {"books": 1},
            "progressTrace": {"processing tasks": "1.25ms"},
        },
        "duration": "PT0.001250S",
        "startedAt": "2026-03-01T12:00:01Z",
        "finishedAt": "2026-03-01T12:00:01.00125Z",
        "batchStrategy": "created batch containing only task with id 7 of type `documentDeletion` that cannot be "
        "batched with any other task.",
    }


def test_a_batch_that_is_being_worked_on_shows_how_far_it_is() -> None:
    parts = tuple(NodeTask(node, "i", 1, (0,), "succeeded" if node == "a" else "open") for node in "abc")
    view = batch_view(replace(DONE, status="processing", finished_at=None, node_tasks=parts))
    step = {"currentStep": "processing tasks", "finished": 1, "total": 3}
    assert view["progress"] == {"steps": [step], "percentage": 33.33}
    assert view["details"] == {"providedIds": 2, "deletedDocuments": 1, "originalFilter": None}
    assert view["stats"]["progressTrace"] == {}
    assert (view["duration"], view["finishedAt"]) == (None, None)


def test_a_settings_batch_says_by_null_what_is_back_to_its_default() -> None:
    task = replace(DONE, type="settingsUpdate", index_uid=None, details={"stopWords": None})
    assert batch_view(task)["details"] == {"stopWords": None}
    assert batch_view(task)["stats"]["indexUids"] == {}


@pytest.mark.parametrize(
    ("finished", "trace"),
    [("01Z", "0.00ns"), ("01.0000005Z", "500.00ns"), ("01.0000025Z", "2.50µs"), ("03.5Z", "2.50s")],
)
def test_times_are_spelled_as_a_node_spells_them(finished: str, trace: str) -> None:
    task = replace(DONE, finished_at=f"2026-03-01T12:00:{finished}")
    assert batch_view(task)["stats"]["progressTrace"] == {"processing tasks": trace}
